// Driver profiles: which name and which SPNs each client driver makes of a target. No two make the
// same; `explain --as` shows it.
#pragma once

#include "auth/kerberos_config.hpp"
#include "auth/name.hpp"

#include <optional>
#include <span>

namespace auth {

/// One driver as `--as` knows it.
struct Driver {
  std::string_view id;   ///< "mssql-jdbc"
  std::string_view what; ///< what it does with a name, in a few words
};
/// All of them, in the order of the reference.
std::span<const Driver> drivers();
const Driver *find_driver(std::string_view id);

/// What DNS says of a target: whatever any driver would ask.
struct DriverFacts {
  Target target;
  SearchPolicy policy;
  std::vector<std::string>
      chain; ///< the typed name, completed, then each CNAME target; empty where the name has no address
  std::vector<std::string> addresses; ///< of the end of the chain; the target itself where it is an address
  std::string forward_fault;          ///< why there is no address: "sql1.corp.test: nxdomain"
  std::string ptr;       ///< the name of the first address; empty: none. 127.0.0.1 and ::1 always have one
  std::string ptr_fault; ///< why there is none: "nxdomain"
  bool ptr_confirmed = false; ///< the address is among those of `ptr`
  std::vector<std::string>
      realms; ///< suffixes of the typed name and of the PTR name with an SRV record _kerberos._udp
  std::optional<std::uint16_t> browser_port; ///< what SQL Browser says of the instance, where it was asked

  bool alias() const { return chain.size() > 1; }
};

/// Asks what drivers would ask, each question once: the forward procedure, then the PTR of the
/// first address and the realms' SRV records, then whether the PTR's name leads back. Ends with
/// facts, whatever DNS answers.
class DriverQuestions {
public:
  DriverQuestions(Target target, SearchPolicy policy);
  std::variant<AskDns, DriverFacts> next();
  void answer(std::vector<DnsAnswer> answers);

private:
  enum class Stage { forward, reverse, confirm, done } stage_ = Stage::forward;
  void take_forward();
  std::vector<DnsQuestion> questions() const;

  DriverFacts facts_;
  Canonicaliser forward_;
  bool waiting_ = false;
};

/// Where the host in an SPN came from.
enum class NameSource { typed, search, cname, ptr, address };
std::string_view to_string(NameSource source); ///< "typed", "search", "cname", "ptr", "address"

struct PredictedSpn {
  std::string spn; ///< "MSSQLSvc/sql1.corp.test:1433"; with @REALM where the driver itself names one
  NameSource source = NameSource::typed; ///< of its host
  bool operator==(const PredictedSpn &) const = default;
};

/// What one driver does with a target.
struct Prediction {
  std::string_view driver;
  std::string name; ///< that it puts into its first SPN
  std::vector<PredictedSpn>
      spns; ///< in the order it asks for them; empty: it asks for none, or nobody can tell (reason says why)
  bool default_realm = false; ///< it asks in krb5.conf's default realm, whatever domain_realm says
  std::string reason;         ///< how it came to that name
  bool operator==(const Prediction &) const = default;
};

/// Pure. `driver` is one of `drivers()`; `mit` holds for drivers that hand libkrb5 a host-based name.
Prediction predict(const Driver &driver, const DriverFacts &facts, const MitNaming &mit);

/// Why the KDC may not know an SPN of that driver: a sentence that names the lookup, after K3 (short name,
/// address, alias, PTR, extra label or wrong domain). Pure.
std::string suspicion(const PredictedSpn &spn, const DriverFacts &facts);

} // namespace auth

// One login, explained without a client: what the proxy would do for a target, step by step, by
// the proxy's own functions.
#pragma once

#include "auth/driver.hpp"
#include "shim/diagnosis/diagnose.hpp"
#include "shim/login/plan.hpp"
#include "shim/login/upstream.hpp"

#include <expected>

namespace shim {

/// One SPN that a driver would ask for, and what the KDC says of it.
struct DriverSpn {
  std::string spn; ///< with the realm that it would be asked in
  auth::NameSource source{};
  bool ticket = false;
  std::string said;      ///< "ticket"; else the kind of refusal ("service-unknown"), or why it was not asked
  std::string suspicion; ///< without a ticket: the lookup that made this name; empty otherwise
};
/// One driver, put in sqlshim's place.
struct DriverRow {
  std::string driver, name, reason;
  std::vector<DriverSpn> spns;           ///< in the order it would ask for them
  const DriverSpn *first_ticket() const; ///< null: it would fail
};
/// What each driver makes of the target.
struct DriverComparison {
  auth::DriverFacts facts;
  auth::MitNaming mit; ///< what krb5.conf says, which holds for drivers that leave the name to libkrb5
  std::vector<DriverRow> rows;
};

/// What one resolver makes of the target's name.
struct ResolvedName {
  std::string
      canonical; ///< as the procedure `forward` says, and getaddrinfo; empty where there is no address
  std::vector<std::string> addresses; ///< sorted
  std::string fault;                  ///< why there is none
};
/// The two that `[dns] resolver` chooses between, whichever it is.
struct NameComparison {
  ResolvedName own, system;
  std::vector<std::string> differences() const; ///< of "canonical", "addresses": what they do not agree on
};
/// How long both may take together.
inline constexpr Millis comparison_limit{800};

/// What the login came to, and everything that was decided on the way.
struct Explanation {
  std::string target;    ///< as typed
  std::string route;     ///< its name; empty: made of defaults
  std::string identity;  ///< its name; empty: none is needed
  std::string principal; ///< as configured; empty where only a ccache tells
  bool connect = false;  ///< whether the server was to be logged in to
  std::string not_done;  ///< why it could not be tried all the same; empty otherwise
  std::vector<Record> records;
  std::optional<Diagnosis> diagnosis; ///< nullopt: nothing stood in the way
  std::vector<Candidate> candidates;  ///< each SPN of the plan, where tickets were asked for; secret
  std::optional<DriverComparison> drivers = {}; ///< where it was asked for
  std::optional<NameComparison> names = {};     ///< nullopt: the target is none
};

/// The policy for a target: the route `name` if given (with `target`, where that is given too, in
/// place of its own), else the first route whose target is the same place (`same_target`), else a
/// nameless route of defaults with the first identity. Pure. Error: a sentence (no such route, no such
/// thing as a target, no identity).
std::expected<config::Route, std::string> choose_route(const config::Config &config,
                                                       const std::string &target, const std::string &name);
/// Host and instance without regard to case, and the port, where 1433 need not be written
/// unless there is an instance.
bool same_target(const auth::Target &left, const auth::Target &right);

/// Goes the way of a login: may this process's user use the route's identity; names, plan, tickets. With
/// `connect` also connects, logs in and hangs up at once after the server's answer; without it every SPN
/// candidate of the plan is asked for and no server is connected to. Keeps to itself: no decision log, no
/// ticket or answer of a running sqlshim is read or written. `tickets`: then also asks for a ticket for every
/// candidate, for who goes on with them. Both resolvers are asked for the target's name, at the end and for
/// `comparison_limit`. `drivers`: then also asks DNS what these drivers would ask, and the KDC for each SPN
/// of theirs, once. Blocks; sets KRB5_CONFIG, so no other thread may run when it is called. Error: krb5.conf
/// cannot be read, as a sentence.
std::expected<Explanation, std::string> explain(const config::Config &config, const config::Route &route,
                                                bool connect, bool tickets = false,
                                                std::span<const auth::Driver> drivers = {});

/// {"v":1,"target":…,"route":…,"identity":…,"connect":…,"not_done":…,"records":[…],
///  "diagnosis":{"cause":…,"fault":…,"spn":…,"said":…,"said_by":…,"sentence":…,"remedy":…}|null,
///  "names":{"own":{"canonical":…,"addresses":[…],"fault":…},"system":{…},
///           "differ":["canonical","addresses"]}|null,
///  "drivers":{"chain":[…],"addresses":[…],"ptr":…,"ptr_fault":…,"rows":[{"driver":…,"name":…,"reason":…,
///             "works":…,"spns":[{"spn":…,"source":…,"ticket":…,"said":…,"suspicion":…}]}]}}
/// `drivers` is there only where drivers were asked about. Each record is as in the decision log, on a line
/// of its own. `more`: further members of the caller's, as JSON text (`"control":[…]`), last; empty: none.
std::string to_json(const Explanation &explanation, std::string_view more = {});

} // namespace shim

// What a lab will be, before any of it exists: the good lab, and the faults that --break names.
#pragma once

#include "tools/lab/kdc_front.hpp"
#include "tools/lab/peer/peer_options.hpp"
#include "tools/lab/realm.hpp"
#include "tools/lab/smb.hpp"
#include "tools/lab/smb_front.hpp"

#include <functional>
#include <span>

namespace lab {

/// A fault changes the plan, and the lab is then brought up from it. Folder-relative names are
/// those of the lab's folder.
struct Plan {
  RealmOptions realm;
  /// Done with the realm complete: SPNs, keytabs, passwords.
  std::function<void(Realm &)> spoil_realm = [](Realm &) {};
  bool kdc_runs = true;
  /// How the KDC's front (its address .3) changes what the KDC answers; krb5.conf then names the
  /// front. Null: there is none.
  KdcFront::Change change_kdc_answers;

  bool sql1_has_address = true; ///< in DNS
  std::string sql1_ptr;         ///< the name that sql1's address has in DNS; empty: the right one
  /// One more domain, the first in the search list, that has a sql1 too, with the same address; the route
  /// reports then writes the short name. Empty: none.
  std::string other_domain;
  /// KDC, sql1 and sqlshim's listeners are on ::1, at ports that were free, and sql1 has an AAAA record
  /// alone. Not with more hosts: there is one such address.
  bool ipv6 = false;

  enum class Server { runs, absent, black_hole } server = Server::runs;
  /// Address, port, keytab, certificate and records are filled in by the lab. `route` is sql1's alone:
  /// the --host servers accept.
  PeerOptions peer;
  /// The SMB server of a lab that has one. Address, port, keytab and accounts are filled in by the lab.
  SmbdOptions smbd;
  bool smbd_runs = true;
  /// Who is on the way to it: where it goes to is filled in by the lab.
  std::optional<SmbFrontOptions> smb_front;
  /// What one server does otherwise, by its full name: "sql1.corp.test", "sql2.corp.test". Applied last.
  std::map<std::string, std::function<void(PeerOptions &)>> hosts;
  /// The peers' certificate: good, or wrong in one way. `other_name`: of the lab's authority, for nobody
  /// here. `weak`: RSA of 1024 bits.
  enum class Wrong {
    nothing,
    other_name,
    unknown_issuer,
    expired,
    self_signed,
    weak
  } certificate = Wrong::nothing;

  int logins_before = 0; ///< that the lab makes itself through sqlshim, before COMMAND

  // sqlshim.toml
  std::string identity =
      "keytab = \"reports.keytab\"\nprincipal = \"svc-reports@CORP.TEST\"\n"; ///< whose credentials
  /// The same of the route ntlm-fallback: NTLM is made of a password. Faults of a keytab or a
  /// ccache leave it as it is.
  std::string password_identity =
      "password_file = \"reports.password\"\nprincipal = \"svc-reports@CORP.TEST\"\n";
  std::string identity_extra; ///< more lines of each [[identity]]
  std::string listener_extra; ///< of each [[listener]]
  std::string route_extra;    ///< of each [[route]]
  /// Of the [[route]] ntlm-fallback alone. Who writes such keys into route_extra clears it.
  std::string fallback_keys =
      "attempts = [\"tcp+kerberos\", \"tcp+ntlm\"]\nfallback_on = [\"spn-missing\"]\n";
  std::string route_match;               ///< more of `match`, ", database = …"
  std::string route_encrypt = "require"; ///< `encrypt` of each [[route]]
};

struct Fault {
  std::string_view id;
  std::string_view what; ///< one line for --help
  void (*apply)(Plan &);
};

/// Every fault, in the order of --help.
std::span<const Fault> all_faults();
/// Throws LabError for an unknown id, with those that exist.
const Fault &find_fault(std::string_view id);

inline constexpr auto service_account = "svc-reports";
inline constexpr auto service_password = "Reports.Passw0rd";
inline constexpr auto sql1 = "sql1.corp.test";

} // namespace lab

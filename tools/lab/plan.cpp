#include "tools/lab/plan.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <unistd.h>

namespace lab {
namespace {

/// The SPN of sql1, whichever port it has.
std::string spn_of(Realm &realm) {
  const auto principals = realm.kadmin("listprincs MSSQLSvc/sql1.corp.test:[0-9]*");
  const auto from = principals.find("\nMSSQLSvc/");
  const auto end = principals.find('\n', from + 1);
  return principals.substr(from + 1, end - from - 1);
}

/// A uid that is not ours, for an `allow` or `callers` that leaves us out.
int other_uid() { return ::getuid() == 1 ? 2 : 1; }

void force_error(Plan &plan, std::uint32_t number, std::string text) {
  plan.peer.login_error = LoginError{number, 1, 14, std::move(text)};
}

/// For faults of TLS: it is wanted on both sides, whatever --server-encrypt says, unless
/// that is a kind of TLS anyway.
void demand_tls(Plan &plan) {
  if (plan.peer.encrypt == "off") plan.peer.encrypt = "on";
  if (plan.route_encrypt == "off") plan.route_encrypt = "require";
}

void spoil_certificate(Plan &plan, Plan::Wrong how) {
  demand_tls(plan);
  plan.certificate = how;
}

/// The password file of every route's identity.
void use_password(Plan &plan, std::string_view file, std::string_view principal) {
  plan.identity = plan.password_identity =
      fmt::format("password_file = \"{}\"\nprincipal = \"{}\"\n", file, principal);
}

/// MIT's KDC never answers 8 (PRINCIPAL_NOT_UNIQUE); Active Directory's does. Here its 7 becomes one:
/// error-code [6] INTEGER in the KRB-ERROR.
tds::Bytes not_unique_for_unknown(tds::ByteView, tds::Bytes reply) {
  constexpr std::array<std::uint8_t, 5> unknown{0xa6, 0x03, 0x02, 0x01, 0x07};
  const auto found = std::ranges::search(reply, unknown);
  if (!found.empty()) found.back() = 8;
  return reply;
}

constexpr auto faults = std::to_array<Fault>({
    // names
    {"name-not-found", "DNS knows no address of sql1.corp.test", [](Plan &p) { p.sql1_has_address = false; }},
    {"ptr-wrong", "the PTR of sql1's address names another host (sqlshim asks for none: drivers that do fail)",
     [](Plan &p) { p.sql1_ptr = "sql1.dns.corp.test"; }},
    {"suffix-wrong", "the search list leads the short name sql1 into other.test, which is no realm's domain",
     [](Plan &p) { p.other_domain = "other.test"; }},
    // SPN and ticket
    {"spn-missing", "the KDC does not know sql1's SPN",
     [](Plan &p) { p.spoil_realm = [](Realm &r) { r.remove(spn_of(r)); }; }},
    {"spn-wrong-account", "sql1's SPN has another account's key: the server cannot read the ticket",
     [](Plan &p) {
       p.spoil_realm = [](Realm &r) {
         const auto spn = spn_of(r);
         r.remove(spn);
         r.add_spn(spn);
       };
     }},
    {"server-key-old", "the account's password was changed, the server's keytab was not",
     [](Plan &p) {
       p.spoil_realm = [](Realm &r) { r.change_key(spn_of(r)); };
       p.peer.native_errors = true; // only MIT's own code tells an old key from a wrong one
     }},
    {"etype-refused", "the KDC may use only RC4 for sql1's SPN, which clients refuse",
     [](Plan &p) {
       p.spoil_realm = [](Realm &r) { r.kadmin(fmt::format("setstr {} session_enctypes rc4-hmac", spn_of(r))); };
     }},
    {"spn-duplicate", "two accounts have sql1's SPN: the KDC answers as Active Directory does then",
     [](Plan &p) {
       p.spoil_realm = [](Realm &r) { r.remove(spn_of(r)); };
       p.change_kdc_answers = not_unique_for_unknown;
     }},
    // realm and KDC
    {"realm-unknown", "the identity belongs to a realm that krb5.conf does not know",
     [](Plan &p) { use_password(p, "reports.password", "svc-reports@NOWHERE.TEST"); }},
    {"realm-wrong", "krb5.conf puts sql1 into a realm that the KDC does not know",
     [](Plan &p) { p.realm.realm_of_domain = "OTHER.TEST"; }},
    {"kdc-unreachable", "the KDC is down", [](Plan &p) { p.kdc_runs = false; }},
    {"kdc-tcp-blocked", "the KDC answers on UDP alone", [](Plan &p) { p.realm.kdc_tcp = false; }},
    {"kdc-proxy-unsupported", "krb5.conf knows the KDC by https alone",
     [](Plan &p) { p.realm.kdcs = {"https://kdcproxy.corp.test/KdcProxy"}; }},
    {"clock-skew", "the KDC's clock is ten minutes ahead",
     [](Plan &p) { p.spoil_realm = [](Realm &r) { r.set_kdc_clock("+10m"); }; }},
    // credentials
    {"no-credentials", "the identity's ccache does not exist",
     [](Plan &p) { p.identity = "ccache = \"absent.ccache\"\n"; }},
    {"tgt-expired", "the identity's ccache holds a ticket of yesterday",
     [](Plan &p) {
       p.identity = "ccache = \"expired.ccache\"\n";
       p.spoil_realm = [](Realm &r) {
         r.set_kdc_clock("-2d");
         r.kinit(service_account, service_password, r.folder() / "expired.ccache", "-2d");
         r.set_kdc_clock("");
       };
     }},
    {"keytab-mismatch", "svc-reports' password was changed after its keytab was made",
     [](Plan &p) { p.spoil_realm = [](Realm &r) { r.change_key(service_account); }; }},
    {"preauth-failed", "the identity's password file holds another password",
     [](Plan &p) {
       use_password(p, "wrong.password", "svc-reports@CORP.TEST");
       p.spoil_realm = [](Realm &r) { write_file(r.folder() / "wrong.password", "not.the.password\n"); };
     }},
    {"password-throttled", "the password file is wrong, and two logins before (the lab's own) were refused for it",
     [](Plan &p) {
       use_password(p, "wrong.password", "svc-reports@CORP.TEST");
       p.spoil_realm = [](Realm &r) { write_file(r.folder() / "wrong.password", "not.the.password\n"); };
       p.logins_before = 2;
     }},
    {"account-revoked", "svc-reports is disabled",
     [](Plan &p) {
       p.spoil_realm = [](Realm &r) { r.kadmin(fmt::format("modprinc -allow_tix {}", service_account)); };
     }},
    {"password-expired", "svc-reports must change its password",
     [](Plan &p) {
       p.spoil_realm = [](Realm &r) {
         r.kadmin(fmt::format("modprinc -pwexpire \"2020-01-01 00:00:00\" {}", service_account));
       };
     }},
    // server
    {"mutual-auth-missing", "the server accepts the login and does not prove who it is",
     [](Plan &p) { p.peer.omit_sspi_token = true; }},
    {"login-untrusted", "the server answers the ticket with 18452",
     [](Plan &p) {
       force_error(
           p, 18452,
           "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.");
     }},
    {"login-denied", "the server knows no login for svc-reports (18456)",
     [](Plan &p) { p.peer.principals = std::vector<std::string>{"alice@CORP.TEST"}; }},
    {"anonymous-logon", "the server sees NT AUTHORITY\\ANONYMOUS LOGON (18456)",
     [](Plan &p) { force_error(p, 18456, "Login failed for user 'NT AUTHORITY\\ANONYMOUS LOGON'."); }},
    {"database-denied", "the login may open no database (4060)", [](Plan &p) { p.peer.databases.clear(); }},
    {"server-closed", "the server closes instead of answering PRELOGIN",
     [](Plan &p) { p.peer.close_at = Moment::prelogin; }},
    {"protocol-violation", "the login reply holds a token that does not exist",
     [](Plan &p) { p.peer.unknown_token = true; }},
    {"mars-refused", "the server answers MARS with 0 (clients without MARS notice nothing)",
     [](Plan &p) { p.peer.refuse_mars = true; }},
    {"deadline", "the server never answers LOGIN7",
     [](Plan &p) {
       p.peer.hang_at = Moment::login;
       p.route_extra = "timeouts = { login = \"2s\" }\n";
     }},
    // network and TLS
    {"connection-refused", "nothing listens at sql1", [](Plan &p) { p.server = Plan::Server::absent; }},
    {"connection-timeout", "sql1 answers no SYN",
     [](Plan &p) {
       p.server = Plan::Server::black_hole;
       p.route_extra = "timeouts = { connect = \"1s\" }\n";
     }},
    {"server-requires-tls", "the server insists on TLS, the routes say encrypt = \"off\"",
     [](Plan &p) {
       p.peer.encrypt = "require";
       p.route_encrypt = "off";
     }},
    {"server-without-tls", "the server has no TLS, which the routes demand",
     [](Plan &p) {
       p.peer.encrypt = "off";
       p.route_encrypt = "require";
     }},
    {"tls-version-refused", "the server speaks TLS 1.1 at most",
     [](Plan &p) {
       demand_tls(p);
       p.peer.tls_min = "1.0";
       p.peer.tls_max = "1.1";
     }},
    {"tls-mismatch", "the server answers ClientHello with something that is no TLS",
     [](Plan &p) {
       demand_tls(p);
       p.peer.tls_garbage = true;
     }},
    {"certificate-name", "the server's certificate names another host",
     [](Plan &p) { spoil_certificate(p, Plan::Wrong::other_name); }},
    {"certificate-untrusted", "nobody knows the issuer of the server's certificate",
     [](Plan &p) { spoil_certificate(p, Plan::Wrong::unknown_issuer); }},
    {"certificate-expired", "the server's certificate expired yesterday",
     [](Plan &p) { spoil_certificate(p, Plan::Wrong::expired); }},
    {"certificate-self-signed", "the server signed its certificate itself",
     [](Plan &p) { spoil_certificate(p, Plan::Wrong::self_signed); }},
    {"certificate-weak", "the server's certificate has an RSA key of 1024 bits",
     [](Plan &p) { spoil_certificate(p, Plan::Wrong::weak); }},
    {"channel-binding-refused", "the server demands channel bindings, and TLS 1.3 (encrypt = \"strict\") has none",
     [](Plan &p) {
       p.peer.encrypt = p.route_encrypt = "strict";
       p.peer.epa = "required";
     }},
    {"redirect-refused", "the server sends its clients to another domain",
     [](Plan &p) { p.peer.route = RouteTo{.server = "sql1.evil.test"}; }},
    {"client-requires-tls", "the listeners have no TLS (clients that do not ask for it notice nothing)",
     [](Plan &p) { p.listener_extra = "tls = \"off\"\n"; }},
    {"listener-requires-tls", "the listeners demand TLS (clients that have it notice nothing)",
     [](Plan &p) { p.listener_extra = "tls = \"required\"\n"; }},
    // us and our caller
    {"caller-denied", "the listeners take another user only",
     [](Plan &p) { p.listener_extra = fmt::format("callers = [{}]\n", other_uid()); }},
    {"client-auth-refused", "the listeners take integrated logins only (a client with user and password is refused)",
     [](Plan &p) { p.listener_extra = "client_auth = \"integrated\"\n"; }},
    {"identity-denied", "the identity may be used by another user only",
     [](Plan &p) { p.identity_extra = fmt::format("allow = [{}]\n", other_uid()); }},
    {"route-denied", "no route matches what the client asks for",
     [](Plan &p) { p.route_match = ", database = \"nobody-asks-for-this\""; }},
});

} // namespace

std::span<const Fault> all_faults() { return faults; }

const Fault &find_fault(std::string_view id) {
  const auto found = std::ranges::find(faults, id, &Fault::id);
  if (found != faults.end()) return *found;
  std::string known;
  for (const auto &fault : faults)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", fault.id);
  throw LabError(fmt::format("--break {}: there is no such fault. There are: {}", id, known));
}

} // namespace lab

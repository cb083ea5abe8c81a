#include "shim/diagnosis/facts.hpp"

#include "auth/spn.hpp"
#include "auth/target.hpp"

#include <cstdlib>
#include <fmt/format.h>

namespace shim {

namespace {

/// What a certificate holds, for a reader: a hostile one may hold thousands.
std::string names_of(const TlsAgreed &tls) {
  constexpr std::size_t most = 5;
  const std::size_t shown = std::min(most, tls.names.size());
  std::string names = fmt::format(
      "{}", fmt::join(tls.names.begin(), tls.names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (tls.names.size() > most) names += fmt::format(" and {} more", tls.names.size() - most);
  return names;
}

/// How the token was bound to TLS.
std::string binding_of(const Story &story) {
  if (!story.tls) return "no channel binding (there was no TLS)";
  if (!binding_sent(story)) return fmt::format("no channel binding ({} has none)", story.tls->version);
  return fmt::format("the channel binding {} of {}", story.tls->binding, story.tls->version);
}

} // namespace

Facts facts_of(const Story &story, const Failure &failure) {
  Facts facts;
  if (story.accepted) facts["listener"] = story.accepted->listener;
  if (story.caller)
    facts["caller"] = story.caller->user.empty()
                          ? fmt::format("uid {}", story.caller->uid)
                          : fmt::format("{} (uid {})", story.caller->user, story.caller->uid);
  if (story.login) {
    facts["database"] = story.login->database.empty() ? "(the login's default)" : story.login->database;
    facts["user"] = facts["login"] = story.login->user;
  }
  if (story.policy) {
    facts["route"] = story.policy->route;
    facts["identity"] = story.policy->identity;
    if (!story.client.empty()) facts["identity"] += " (" + story.client + ")";
  }
  if (story.dns_failure) facts["name"] = facts["target"] = story.dns_failure->question;
  if (story.target) {
    facts["target"] = story.target->typed;
    if (const auto typed = auth::parse_target(story.target->typed); typed && !typed->instance.empty())
      facts["name"] = typed->host;
    facts["host"] = story.target->fqdn;
    facts["port"] = fmt::to_string(story.target->port);
    facts["canonical"] = story.alias_end.empty() ? story.target->fqdn : story.alias_end;
    if (!story.target->endpoints.empty()) facts["endpoint"] = story.target->endpoints.front();
  }
  if (story.connected) {
    facts["endpoint"] = story.connected->endpoint;
    facts["binding"] = binding_of(story);
  }
  if (story.tls && !story.tls->names.empty()) {
    facts["certificate_names"] = names_of(*story.tls);
    facts["certificate_name"] = story.tls->names.front();
  }
  if (failure.step == Step::client_login)
    facts["tls_peer"] = "the application";
  else if (!facts["endpoint"].empty())
    facts["tls_peer"] = "the server at " + facts["endpoint"];
  if (!story.spn.empty()) {
    facts["spn"] = story.spn;
    facts["bare_spn"] = story.spn.substr(0, story.spn.rfind('@'));
    facts["realm"] = auth::spn_realm(story.spn);
    if (facts["host"].empty()) facts["host"] = auth::spn_host(story.spn);
  }
  if (const std::size_t dot = facts["host"].find('.'); dot != std::string::npos)
    facts["domain"] = facts["host"].substr(dot + 1);
  if (story.credentials) facts["login"] = facts["windows_login"] = story.credentials->account;
  if (story.ticket) {
    const std::string &client = story.ticket->client;
    facts["principal"] = facts["login"] = client;
    const std::string account = client.substr(0, client.rfind('@'));
    if (!story.ticket->account.empty())
      facts["windows_login"] = story.ticket->account;
    else if (!account.contains('/'))
      facts["windows_login"] = "DOMAIN\\" + account; // [domains] does not tell the realm's NetBIOS name
  }
  if (failure.step == Step::server_login) {
    facts["kdc"] = "the server " + facts["host"]; // a skew that the server complains about is its own
  } else if (const KdcAnswered *kdc = story.kdc_refusal ? story.kdc_refusal : story.kdc) {
    if (kdc->code < 0 && !kdc->realm.empty()) facts["realm"] = kdc->realm;
    facts["kdc"] = kdc->code < 0 ? fmt::format("{}", fmt::join(story.silent_kdcs, ", ")) : kdc->kdc;
    if (kdc->skew_ms != 0) {
      facts["seconds"] = fmt::to_string((std::abs(kdc->skew_ms) + 500) / 1000);
      facts["direction"] = kdc->skew_ms > 0 ? "ahead of" : "behind";
    }
  }
  return facts;
}

std::string_view remedy_of(Cause cause, const Story &story) {
  const bool clients = story.credentials && story.credentials->from == CredentialsFrom::client;
  if (clients && cause == Cause::no_credentials)
    return "Check the user that the application logs in with: the directory of its realm does not know {login}.";
  if (clients && cause == Cause::preauth_failed)
    return "Give the application the right password of {login} before it tries again: repeated failures lock the account.";
  if (clients && cause == Cause::password_throttled)
    return "Give the application the right password of {login}. One try is made again when the older failure is an hour "
           "old, or at once when SIGHUP is sent to sqlshim.";
  if (clients && cause == Cause::password_expired)
    return "Set a new password for {login} in the directory, then give it to the application.";
  return entry(cause).remedy;
}

} // namespace shim

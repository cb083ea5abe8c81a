#include "shim/diagnosis/diagnose.hpp"

#include "auth/spn.hpp"
#include "shim/log/render.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fmt/format.h>
#include <utility>

namespace shim {

namespace {

using config::Area;
using Facts = std::map<std::string, std::string>;

constexpr std::int64_t preauth_required = 25; ///< a round of the AS exchange, no error (RFC 4120 7.5.9)
constexpr std::int64_t skew = 37;
constexpr std::uint64_t most_informative_class =
    10; ///< a message of a higher class is an error (MS-TDS 2.2.7.10)

constexpr std::string_view partner_tried = " is tried"; ///< ends what `partner_is_tried` makes

template <class... F> struct Overloaded : F... { using F::operator()...; };

/// What matters of a trail, gathered in one walk. Pointers are into the trail; null: did not happen.
struct Story {
  const Accepted *accepted = nullptr;
  const CallerProven *caller = nullptr;
  const LoginReceived *login = nullptr;
  const PolicyDecided *policy = nullptr;
  const DnsAnswered *dns_failure = nullptr;
  const TargetResolved *target = nullptr;
  const BrowserAnswered *browser = nullptr; ///< the last answer that names a port
  const PlanMade *plan = nullptr;
  const KdcAnswered *kdc = nullptr;         ///< the last answer
  const KdcAnswered *kdc_refusal = nullptr; ///< the last error that no ticket followed
  const SpnTried *spn_refused = nullptr;    ///< the first of the candidates refused since the last ticket
  const TicketChosen *ticket = nullptr;
  const CredentialsTaken *credentials = nullptr;
  const ServerConnected *connected = nullptr;
  // Of the last server that was connected to:
  const TlsAgreed *tls = nullptr;
  std::vector<const ServerSaid *> messages;
  bool token_sent = false, token_answered = false;

  std::string alias_end;    ///< where the CNAMEs of the target's name lead, empty without one
  bool typed_short = false; ///< the target is a name without a dot

  std::vector<std::string> silent_kdcs; ///< "127.0.0.1:88 (connection refused)"
  std::string spn;
  std::string client; ///< the identity's principal
};

Story read(std::span<const Record> trail) {
  Story story;
  const auto at_another_server = [&] { // what was learned before is about another one
    story.dns_failure = nullptr;
    story.alias_end.clear();
    story.target = nullptr;
    story.browser = nullptr;
    story.plan = nullptr;
    story.spn.clear();
    story.spn_refused = nullptr;
    story.kdc_refusal = nullptr;
    story.ticket = nullptr;
    story.connected = nullptr;
    story.tls = nullptr;
    story.messages.clear();
    story.token_sent = story.token_answered = false;
  };
  const auto take = Overloaded{
      [&](const Accepted &event) { story.accepted = &event; },
      [&](const CallerProven &event) { story.caller = &event; },
      [&](const LoginReceived &event) { story.login = &event; },
      [&](const PolicyDecided &event) { story.policy = &event; },
      [&](const DnsAnswered &event) {
        // The first one: later ones are what the search list made of the name.
        if (event.rcode != "ok" && !story.dns_failure) story.dns_failure = &event;
        constexpr std::string_view cname = "CNAME ";
        for (const std::string &answer : event.answers)
          if (!story.target && answer.starts_with(cname)) story.alias_end = answer.substr(cname.size());
      },
      [&](const TargetResolved &event) {
        story.target = &event;
        const auto typed = auth::parse_target(event.typed);
        story.typed_short = typed && !typed->is_address && !typed->host.contains('.') &&
                            (event.via == "dns" || event.via == "system"); // the hosts file completes nothing
      },
      [&](const BrowserAnswered &event) {
        if (event.port != 0) story.browser = &event;
      },
      [&](const PlanMade &event) { story.plan = &event; },
      [&](const KdcAnswered &event) {
        if (event.code == preauth_required) return;
        story.kdc = &event;
        story.kdc_refusal = event.code == 0 ? nullptr : &event;
        if (event.code >= 0 || event.kdc.empty()) return; // empty: there was none to ask
        // A login may meet the same one several times.
        auto silent = fmt::format("{} ({})", event.kdc, event.text);
        if (std::ranges::find(story.silent_kdcs, silent) == story.silent_kdcs.end())
          story.silent_kdcs.push_back(std::move(silent));
      },
      [&](const SpnTried &event) {
        story.client = event.client;
        if (event.outcome == "refused") {
          if (!story.spn_refused) story.spn = event.spn;
          if (!story.spn_refused) story.spn_refused = &event;
        } else if (event.outcome == "ticket") {
          story.spn = event.spn;
          story.spn_refused = nullptr;
        }
      },
      [&](const TicketChosen &event) {
        story.ticket = &event;
        story.spn = event.spn;
        story.spn_refused = nullptr;
        story.kdc_refusal = nullptr;
      },
      [&](const CredentialsTaken &event) {
        story.credentials = &event;
        story.client = event.principal;
      },
      [&](const ServerConnected &event) {
        story.connected = &event;
        story.tls = nullptr;
        story.messages.clear();
        story.token_sent = story.token_answered = false;
      },
      [&](const TlsAgreed &event) {
        if (event.leg == "server") story.tls = &event;
      },
      [&](const FallbackTaken &) {
        // What was learned before is about another way to log in.
        story.plan = nullptr;
        story.spn.clear();
        story.spn_refused = nullptr;
        story.kdc_refusal = nullptr;
        story.ticket = nullptr;
      },
      [&](const RedirectFollowed &) { at_another_server(); },
      [&](const Warned &event) {
        if (event.what.ends_with(partner_tried)) at_another_server();
      },
      [&](const TokenExchanged &event) {
        story.token_sent |= event.sent > 0;
        story.token_answered |= event.received > 0 || event.done;
      },
      [&](const ServerSaid &event) { story.messages.push_back(&event); },
      [](const auto &) {},
  };
  for (const Record &record : trail)
    std::visit(take, record.event);

  if (story.spn.empty() && story.plan)
    for (const std::string &attempt : story.plan->attempts) {
      const std::size_t blank = attempt.find(' ');
      if (story.spn.empty() && blank != std::string::npos) story.spn = attempt.substr(blank + 1);
    }
  return story;
}

// ---- which cause ----

/// The message that says why the server refused; 18456 mostly comes last and says least.
const ServerSaid *telling_message(const Story &story) {
  for (const auto numbers : {std::array{4060u, 4064u}, {18452u, 18452u}, {18456u, 18456u}}) {
    const auto found = std::ranges::find_if(story.messages, [&](const ServerSaid *message) {
      return message->number == numbers[0] || message->number == numbers[1];
    });
    if (found != story.messages.end()) return *found;
  }
  return nullptr;
}

bool binding_sent(const Story &story) {
  return story.tls && !story.tls->binding.empty() && story.tls->binding != "none";
}

std::optional<Cause> cause_of_message(const ServerSaid &message, const Story &story) {
  switch (message.number) {
  case 4060:
  case 4064:
    return Cause::database_denied;
  case 18452:
    // A server with Extended Protection says this to a token without a binding, and to one of an
    // account that it does not trust.
    return story.token_sent && !binding_sent(story) ? Cause::channel_binding_refused : Cause::login_untrusted;
  case 18456:
    return message.text.contains("ANONYMOUS LOGON") ? Cause::anonymous_logon : Cause::login_denied;
  default:
    return std::nullopt;
  }
}

std::optional<Cause> cause_of_kind_text(std::string_view kind) {
  for (int i = 0; i <= static_cast<int>(auth::Kind::other); ++i)
    if (auth::to_string(static_cast<auth::Kind>(i)) == kind) return cause_of(static_cast<auth::Kind>(i));
  return std::nullopt;
}

/// Why the KDC knows no such SPN, where its host is the fault of names. The first candidate is judged: it is
/// the one that should have been right.
std::optional<Cause> cause_of_name(const Story &story) {
  if (!story.spn_refused || !story.target || story.target->by.empty()) return std::nullopt; // an old log
  const SpnTried &tried = *story.spn_refused;
  if (tried.why == "explicit") return std::nullopt;
  if (tried.odd.starts_with("address ")) return Cause::address_without_spn;
  if (tried.odd.contains("(PTR of ") && tried.odd.ends_with(": " + auth::spn_host(tried.spn) + ")"))
    return Cause::ptr_wrong;
  const std::string &by = story.target->by;
  if (!story.alias_end.empty() && (by == "as-typed" || by == "short-only") &&
      story.alias_end != story.target->fqdn)
    return Cause::alias_not_canonical;
  const bool realm_known = tried.realm_from == "domain-realm" || tried.realm_from == "srv";
  const bool completed = story.typed_short && story.target->fqdn.contains('.') && by != "map";
  if (completed && !realm_known) return Cause::suffix_wrong;
  return std::nullopt;
}

Cause sharpen(const Story &story, const Failure &failure) {
  switch (failure.cause) {
  case Cause::server_closed:
  case Cause::login_denied:
  case Cause::login_untrusted:
  case Cause::anonymous_logon:
  case Cause::database_denied:
    if (const ServerSaid *message = telling_message(story))
      return cause_of_message(*message, story).value_or(failure.cause);
    if (failure.cause == Cause::server_closed && story.messages.empty() && story.token_sent &&
        !story.token_answered)
      return Cause::spn_wrong_account;
    return failure.cause;
  default:
    break;
  }
  if (failure.step != Step::ticket) return failure.cause;
  if (story.kdc_refusal && story.kdc_refusal->code == skew) return Cause::clock_skew;
  Cause cause = failure.cause;
  if (story.spn_refused && cause != Cause::deadline)
    cause = cause_of_kind_text(story.spn_refused->kind).value_or(cause);
  if (cause != Cause::spn_missing) return cause;
  if (const auto of_name = cause_of_name(story)) return *of_name;
  // An SPN that is written has its port from nobody but who wrote it.
  const bool computed = !story.spn_refused || story.spn_refused->why != "explicit";
  return computed && story.browser && story.browser->detail.starts_with(was_at_port) ? Cause::port_changed
                                                                                     : cause;
}

/// For causes that can be anybody's: who was to act in that step.
Fault fault_of(Cause cause, Step step) {
  const bool of_either_leg = cause == Cause::tls_mismatch || cause == Cause::tls_version_refused;
  if (of_either_leg && step == Step::client_login) return Fault::client;
  if (cause != Cause::deadline && cause != Cause::protocol_violation) return entry(cause).fault;
  if (step == Step::caller || step == Step::client_login) return Fault::client;
  if (step == Step::resolve) return Fault::dns;
  if (step == Step::ticket) return Fault::kdc;
  if (step == Step::connect) return Fault::network;
  if (step == Step::server_login) return Fault::server;
  return entry(cause).fault;
}

// ---- what it rests on ----

bool shows(Area area, const Event &event) {
  const auto is_one_of = [&event]<class... Kind>(std::type_identity<Kind>...) {
    return (std::holds_alternative<Kind>(event) || ...);
  };
  switch (area) {
  case Area::caller:
    return is_one_of(std::type_identity<Accepted>{}, std::type_identity<CallerProven>{},
                     std::type_identity<PreloginAnswered>{}, std::type_identity<LoginReceived>{},
                     std::type_identity<PolicyDecided>{});
  case Area::names:
    return is_one_of(std::type_identity<PolicyDecided>{}, std::type_identity<DnsAnswered>{},
                     std::type_identity<TargetAliased>{}, std::type_identity<TargetResolved>{},
                     std::type_identity<BrowserAnswered>{});
  case Area::spn:
    return is_one_of(std::type_identity<DnsAnswered>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<KdcAnswered>{}, std::type_identity<SpnTried>{});
  case Area::ticket:
    return is_one_of(std::type_identity<CredentialsTaken>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<KdcAnswered>{}, std::type_identity<SpnTried>{});
  case Area::connection:
    return is_one_of(std::type_identity<DnsAnswered>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<AttemptEnded>{});
  case Area::tls:
    return is_one_of(std::type_identity<PolicyDecided>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<ServerConnected>{}, std::type_identity<PreloginAnswered>{},
                     std::type_identity<TlsAgreed>{});
  case Area::server:
    return is_one_of(std::type_identity<TicketChosen>{}, std::type_identity<ServerConnected>{},
                     std::type_identity<PreloginAnswered>{}, std::type_identity<TlsAgreed>{},
                     std::type_identity<TokenExchanged>{}, std::type_identity<ServerSaid>{},
                     std::type_identity<RedirectFollowed>{});
  }
  std::unreachable();
}

/// Puts what was said, and by whom, into `diagnosis`.
void quote(Diagnosis &diagnosis, const Story &story, const Failure &failure) {
  const Area area = entry(diagnosis.cause).area;
  const bool server_step =
      failure.step == Step::server_login; // what the server says of clocks and keys is in the detail
  if ((area == Area::ticket || area == Area::spn) && !server_step && story.kdc_refusal &&
      story.kdc_refusal->code > 0) {
    diagnosis.said = story.kdc_refusal->text;
    diagnosis.said_by = "KDC";
    return;
  }
  const ServerSaid *message = telling_message(story);
  for (const ServerSaid *said : story.messages)
    if (!message && said->severity > most_informative_class) message = said;
  if (area == Area::server && message) {
    diagnosis.said = message->text;
    diagnosis.said_by = "server";
    return;
  }
  diagnosis.said = failure.detail;
  if (diagnosis.said.empty() && area == Area::ticket && story.spn_refused)
    diagnosis.said = story.spn_refused->detail;
}

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

/// The catalogue speaks of the configuration's own credentials; a client's own password is
/// the application's to mend.
std::string_view remedy_of(Cause cause, const Story &story) {
  const bool clients = story.credentials && story.credentials->from == "client";
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

} // namespace

std::optional<Cause> cause_of(auth::Kind kind) {
  switch (kind) {
  case auth::Kind::service_unknown:
    return Cause::spn_missing;
  case auth::Kind::service_not_unique:
    return Cause::spn_duplicate;
  case auth::Kind::client_unknown:
    return Cause::no_credentials;
  case auth::Kind::preauth_failed:
    return Cause::preauth_failed;
  case auth::Kind::client_revoked:
  case auth::Kind::policy:
    return Cause::account_revoked;
  case auth::Kind::key_expired:
    return Cause::password_expired;
  case auth::Kind::clock_skew:
    return Cause::clock_skew;
  case auth::Kind::ticket_expired:
    return Cause::tgt_expired;
  case auth::Kind::etype_refused:
    return Cause::etype_refused;
  case auth::Kind::wrong_realm:
    return Cause::realm_wrong;
  case auth::Kind::realm_unknown:
    return Cause::realm_unknown;
  case auth::Kind::key_wrong:
    return Cause::spn_wrong_account;
  case auth::Kind::key_version_wrong:
    return Cause::server_key_old;
  case auth::Kind::bad_bindings:
    return Cause::channel_binding_refused;
  case auth::Kind::no_credentials:
    return Cause::no_credentials;
  case auth::Kind::keytab_mismatch:
    return Cause::keytab_mismatch;
  case auth::Kind::mutual_failed:
    return Cause::mutual_auth_missing;
  case auth::Kind::malformed:
    return Cause::protocol_violation;
  case auth::Kind::no_mic:
    return Cause::ntlm_no_mic;
  case auth::Kind::mechanism_missing:
    return Cause::mechanism_missing;
  case auth::Kind::ok:
  case auth::Kind::preauth_required:
  case auth::Kind::other:
    return std::nullopt;
  }
  std::unreachable();
}

Diagnosis diagnose(std::span<const Record> trail, const Failure &failure) {
  const Story story = read(trail);
  Diagnosis diagnosis;
  diagnosis.cause = sharpen(story, failure);
  diagnosis.fault = fault_of(diagnosis.cause, failure.step);
  diagnosis.spn = story.spn;
  quote(diagnosis, story, failure);

  const Facts facts = facts_of(story, failure);
  diagnosis.sentence = config::fill(entry(diagnosis.cause).sentence, facts);
  diagnosis.remedy = config::fill(remedy_of(diagnosis.cause, story), facts);
  for (const Record &record : trail)
    if (shows(entry(diagnosis.cause).area, record.event)) diagnosis.evidence.push_back(to_text(record));
  return diagnosis;
}

std::optional<Diagnosis> diagnose(std::span<const Record> trail) {
  const Refused *refused = nullptr;
  for (const Record &record : trail)
    if (const auto *found = std::get_if<Refused>(&record.event)) refused = found;
  if (!refused) return std::nullopt;
  const CauseEntry *known = find_cause(refused->cause);
  if (!known) return std::nullopt;
  return diagnose(trail, Failure{.step = refused->step.value_or(Step::accept),
                                 .cause = known->cause,
                                 .detail = refused->detail});
}

Warned partner_is_tried(const std::string &route, const std::string &target, Cause cause,
                        const std::string &partner) {
  return {fmt::format("route {}: target {} could not be reached ({}): its failover_partner {}{}", route,
                      target, id(cause), partner, partner_tried)};
}

Refused refused(const Diagnosis &diagnosis, const Failure &failure) {
  return {failure.step, std::string(to_string(diagnosis.fault)), std::string(id(diagnosis.cause)),
          failure.detail, diagnosis.remedy};
}

std::string client_text(const Diagnosis &diagnosis, std::string_view conn) {
  // Shares of the 2,000: the remedy and the connection id are what a person needs most, so no
  // other part may push them out.
  constexpr std::size_t sentence_share = 500, spn_share = 250, said_share = 250, remedy_share = 850,
                        conn_share = 32;
  std::string text =
      fmt::format("{}: {}", id(diagnosis.cause), printable(diagnosis.sentence, sentence_share));
  if (!diagnosis.spn.empty() && !diagnosis.sentence.contains(diagnosis.spn))
    text += fmt::format(" SPN: {}.", printable(diagnosis.spn, spn_share));
  if (!diagnosis.said.empty())
    text += diagnosis.said_by.empty() ? fmt::format(" Detail: {}.", printable(diagnosis.said, said_share))
                                      : fmt::format(" The {} said: \"{}\".", diagnosis.said_by,
                                                    printable(diagnosis.said, said_share));
  text += fmt::format(" Remedy: {} (sqlshim connection {})", printable(diagnosis.remedy, remedy_share),
                      printable(conn, conn_share));
  return text;
}

} // namespace shim

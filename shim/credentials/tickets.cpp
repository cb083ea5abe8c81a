#include "shim/credentials/tickets.hpp"

#include "shim/log/render.hpp"
#include "shim/transport/connect.hpp"

#include <algorithm>

namespace shim {
namespace {

auth::TicketKey key_of(const LoadedIdentity &identity, const std::string &spn) {
  return {identity.store_name(), spn.empty() ? identity.identity->realm() : auth::spn_realm(spn), spn};
}

/// Whether another TGT might better a refused TGS exchange: not where the KDC has judged the service.
bool blames_the_tgt(auth::Kind kind) {
  using enum auth::Kind;
  return kind != service_unknown && kind != service_not_unique && kind != etype_refused && kind != policy &&
         kind != realm_unknown && kind != wrong_realm;
}

/// Refusals that stay true for a while; an unreachable KDC or a skewed clock is asked again at once.
bool keeps(const TicketError &error) {
  using enum auth::Kind;
  auto kind = error.error.kind;
  return !error.cause &&
         (kind == service_unknown || kind == service_not_unique || kind == etype_refused || kind == policy);
}

constexpr Millis udp_limit{500};

} // namespace

void Tickets::land(Flights::Claim &claim, Outcome outcome) {
  const auto &key = claim.key();
  try {
    std::lock_guard lock(mutex_); // nothing is forgotten between the question and the answer
    const bool kept = !claim.forgotten();
    if (kept && outcome) {
      store_.put(key, *outcome);
      forget_earlier(key);
    }
    if (kept && !outcome && refusals_.count() != 0 && keeps(outcome.error()))
      refused_[key] = {outcome.error(), std::chrono::steady_clock::now() + refusals_};
  } catch (const std::bad_alloc &) { // it serves those who wait for it, and is not kept
  }
  claim.land(std::move(outcome));
}

void Tickets::forget_earlier(const auth::TicketKey &key) {
  auto name_of = [](const auth::TicketKey &any) {
    return std::string_view(any.identity).substr(0, any.identity.rfind('#'));
  };
  std::erase_if(stored_, [&](const auth::TicketKey &other) {
    if (other.identity == key.identity || name_of(other) != name_of(key)) return false;
    store_.drop(other, store_.lookup(other, auth::Time::min()).ticket);
    return true;
  });
  stored_.insert(key);
}

void Tickets::discard(const LoadedIdentity &identity) {
  const auto name = identity.store_name();
  std::lock_guard lock(mutex_);
  std::erase_if(stored_, [&](const auth::TicketKey &key) {
    if (key.identity != name) return false;
    store_.drop(key, store_.lookup(key, auth::Time::min()).ticket);
    return true;
  });
  std::erase_if(refused_, [&](const auto &refusal) { return refusal.first.identity == name; });
  flights_.forget([&](const auth::TicketKey &key) { return key.identity == name; });
}

void Tickets::forget() {
  std::lock_guard lock(mutex_);
  store_.clear();
  stored_.clear();
  refused_.clear();
  flights_.forget([](const auth::TicketKey &) { return true; });
  kdcs_.forget();
  throttle_.forget();
}

Task<TicketResult> Tickets::acquire(LoadedIdentity identity, std::string spn, FetchContext context) {
  auto key = key_of(identity, spn);
  bool cached = false;
  auto outcome = co_await obtain(std::move(identity), std::move(spn), std::move(context), cached);
  if (!outcome) co_return std::unexpected(std::move(outcome.error()));
  co_return AcquiredTicket{*outcome, std::move(key), cached};
}

Task<Tickets::Outcome> Tickets::obtain(LoadedIdentity identity, std::string spn, FetchContext context,
                                       bool &cached) {
  auto executor = co_await asio::this_coro::executor;
  auto key = key_of(identity, spn);
  for (;;) {
    auto found = store_.lookup(key, std::chrono::system_clock::now());
    if (found.ticket) {
      cached = true;
      if (found.renew && !identity.one_login)
        asio::co_spawn(executor, renew(identity, spn, context), asio::detached);
      co_return found.ticket;
    }
    cached = false;
    if (auto refusal = kept_refusal(key)) co_return std::unexpected(std::move(*refusal));
    auto joined = flights_.join(key, executor);
    if (auto *claim = std::get_if<Flights::Claim>(&joined)) {
      auto outcome = co_await fetch(identity, spn, context);
      land(*claim, outcome);
      co_return outcome;
    }
    if (auto outcome = co_await std::get<Flights::Wait>(joined).outcome()) co_return std::move(*outcome);
  }
}

std::optional<TicketError> Tickets::kept_refusal(const auth::TicketKey &key) {
  std::lock_guard lock(mutex_);
  const auto kept = refused_.find(key);
  if (kept == refused_.end()) return std::nullopt;
  if (kept->second.until <= std::chrono::steady_clock::now()) {
    refused_.erase(kept);
    return std::nullopt;
  }
  auto error = kept->second.error;
  error.kept = true;
  return error;
}

Task<> Tickets::renew(LoadedIdentity identity, std::string spn, FetchContext context) {
  auto claim = flights_.claim(key_of(identity, spn));
  if (!claim) co_return; // somebody else does it
  context.emit = background_;
  context.trace = false;
  const auto outcome = co_await fetch(identity, spn, context);
  land(*claim, outcome);
  if (!outcome) {
    Warned warning;
    warning.what = "renewal of " + (spn.empty() ? "the TGT of " + identity.identity->principal() : spn) +
                   " failed, the old ticket serves until it expires: " + outcome.error().error.text;
    background_(warning);
  }
}

Task<Tickets::Outcome> Tickets::fetch(LoadedIdentity identity, std::string spn, FetchContext context) {
  auth::Trace trace;
  if (context.trace)
    trace = [emit = context.emit](std::string_view line) { emit(TraceLine{std::string(line)}); };
  if (spn.empty()) co_return co_await fetch_tgt(identity, context, trace);

  for (bool first = true;; first = false) {
    bool cached = false;
    auto tgt = co_await obtain(identity, "", context, cached);
    if (!tgt) co_return tgt;
    auto outcome =
        co_await run(identity, auth::request_service_ticket(*tgt, spn, kerberos().path, trace), context);
    if (outcome || outcome.error().cause || !blames_the_tgt(outcome.error().error.kind)) co_return outcome;
    // The KDC may have been rebuilt or the TGT revoked since it was stored: ask for a new one, once.
    store_.drop(key_of(identity, ""), *tgt);
    if (!cached || !first) co_return outcome;
  }
}

std::optional<TicketError> Tickets::password_shut(const auth::Identity &identity) {
  const auto wait = throttle_.shut(identity);
  if (!wait) return std::nullopt;
  auto text = identity.principal() + " was refused " + std::to_string(Throttle::most) +
              " times within an hour; it is not tried again for " + std::to_string(wait->count()) + " s";
  if (!identity.spec().path.empty()) text += ", unless " + identity.spec().path + " changes";
  return TicketError{auth::make_error(auth::Kind::preauth_failed, std::move(text)),
                     Cause::password_throttled};
}

Task<std::optional<Tickets::Turn>> Tickets::turn_of(std::string principal) {
  auto joined = turns_.join(principal, co_await asio::this_coro::executor);
  if (auto *turn = std::get_if<Turn>(&joined)) co_return std::move(*turn);
  co_await std::get<Turns::Wait>(joined).outcome();
  co_return std::nullopt;
}

Task<std::expected<std::optional<Tickets::Turn>, TicketError>>
Tickets::password_turn(LoadedIdentity identity) {
  const auto &who = *identity.identity;
  std::optional<Turn> turn;
  while (!turn && !throttle_.is_good(who))
    if (auto got = co_await turn_of(who.principal())) turn.emplace(std::move(*got));
  if (auto shut = password_shut(who)) co_return std::unexpected(std::move(*shut));
  co_return std::move(turn);
}

Task<Tickets::Outcome> Tickets::fetch_tgt(const LoadedIdentity &identity, FetchContext context,
                                          auth::Trace trace) {
  const auto &who = *identity.identity;
  // One proof of a principal at a time: many logins, each with a password of its own, would all be tried
  // before the first is counted.
  std::optional<Turn> turn;
  while (!turn && !who.expires())
    if (auto got = co_await turn_of(who.principal())) turn.emplace(std::move(*got));
  if (auto shut = password_shut(who)) co_return std::unexpected(std::move(*shut));
  auto outcome =
      co_await run(identity, auth::request_tgt(identity.identity, kerberos().path, trace), context);
  if (!outcome && !outcome.error().cause && outcome.error().error.code == auth::krb::preauth_failed)
    throttle_.refused(who);
  co_return outcome;
}

Task<Tickets::Outcome> Tickets::run(const LoadedIdentity &identity, std::unique_ptr<auth::Exchange> exchange,
                                    FetchContext context) {
  bool tcp_works = false;
  for (;;) {
    auto action = exchange->next();
    if (auto *ticket = std::get_if<auth::TicketPtr>(&action)) co_return std::move(*ticket);
    if (auto *error = std::get_if<auth::Error>(&action))
      co_return std::unexpected(TicketError{std::move(*error), {}});
    auto &ask = std::get<auth::AskKdc>(action);

    auto started = std::chrono::steady_clock::now();
    auto kdcs = co_await kdcs_.find(ask.realm, context);
    if (kdcs.source.empty()) {
      KdcAnswered nobody;
      nobody.exchange = ask.exchange;
      nobody.code = -1;
      nobody.text = kdcs.why_none;
      nobody.us = micros_since(started);
      nobody.realm = ask.realm;
      context.emit(nobody);
      co_return std::unexpected(TicketError{auth::make_error(auth::Kind::realm_unknown, kdcs.why_none), {}});
    }
    // Proof is not risked on a KDC that has just failed while another is there: nobody else
    // may be sent it afterwards.
    auto endpoints = kdcs.endpoints;
    if (ask.proof && kdcs.trusted > 0) endpoints.resize(kdcs.trusted);
    auto answer = co_await ask_kdc(endpoints, std::move(ask.message), ask.proof, context.kdc_limit);
    KdcAnswered event;
    event.exchange = ask.exchange;
    event.realm = ask.realm;
    event.source = kdcs.source;
    for (const auto &silent : answer ? answer->silent : answer.error()) {
      kdcs_.failed(silent.endpoint);
      auto told = event;
      told.kdc = to_text(silent.endpoint);
      told.code = -1;
      told.text = silent.why;
      told.us = silent.us;
      context.emit(told);
    }
    if (!answer)
      co_return std::unexpected(co_await unreachable(identity.identity->principal(), ask.realm, kdcs,
                                                     answer.error(), tcp_works, context));
    tcp_works = true;
    kdcs_.answered(ask.realm, answer->endpoint);
    exchange->reply(answer->message);
    event.kdc = to_text(answer->endpoint);
    event.us = micros_since(started);
    if (const auto &reply = exchange->last_reply()) {
      event.code = reply->code;
      event.text = reply->text;
      if (reply->server_time) {
        event.stime = to_iso8601(*reply->server_time);
        event.skew_ms =
            std::chrono::duration_cast<Millis>(*reply->server_time - std::chrono::system_clock::now())
                .count();
      }
    }
    context.emit(event);
  }
}

Task<TicketError> Tickets::unreachable(const std::string &principal, const std::string &realm,
                                       const Kdcs::Found &kdcs, const std::vector<KdcSilent> &silent,
                                       bool tcp_works, FetchContext &context) {
  auto why = to_text(silent);
  auto tell = [&](std::string kdc, std::string text, std::int64_t us) {
    why += (why.empty() ? "" : "; ") + kdc + ": " + text;
    KdcAnswered event;
    event.kdc = std::move(kdc);
    event.exchange = "AS";
    event.code = -1;
    event.text = std::move(text);
    event.us = us;
    event.realm = realm;
    event.source = kdcs.source;
    context.emit(event);
  };
  for (const auto &[kdc, reason] : kdcs.untried)
    tell(kdc, reason, 0);
  auto cause = kdcs.proxies_only ? Cause::kdc_proxy_unsupported : Cause::kdc_unreachable;
  if (!tcp_works && !silent.empty()) {
    // Whoever fails over TCP alone is behind a firewall, or does not listen there: another
    // remedy than a KDC that is down.
    auto started = std::chrono::steady_clock::now();
    auto probe = auth::request_without_proof(principal, kerberos().path);
    auto over_udp =
        probe ? co_await answers_over_udp(kdcs.endpoints, *std::move(probe), udp_limit) : std::nullopt;
    if (over_udp) {
      cause = Cause::kdc_tcp_blocked;
      tell(to_text(*over_udp), "answers over UDP, but not over TCP", micros_since(started));
    }
  }
  co_return TicketError{auth::make_error(auth::Kind::other, std::move(why)), cause};
}

} // namespace shim

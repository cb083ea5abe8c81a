#include "shim/tickets.hpp"

#include "shim/log/render.hpp"

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
  return !error.unreachable &&
         (kind == service_unknown || kind == service_not_unique || kind == etype_refused || kind == policy);
}

auth::Error error_of(auth::Kind kind, std::string text) {
  auth::Error error;
  error.kind = kind;
  error.text = std::move(text);
  return error;
}

/// What each KDC did: also those that could not even be tried, which `asking` says nothing of.
std::string why_unreachable(const std::vector<auth::KdcAddress> &known, const std::vector<KdcEndpoint> &asked,
                            const std::string &asking) {
  std::string why = asked.empty() ? "" : asking;
  for (const auto &kdc : known) {
    if (std::ranges::any_of(asked, [&](const KdcEndpoint &one) { return one.name == kdc.text(); })) continue;
    why +=
        (why.empty() ? "" : "; ") + kdc.text() +
        (kdc.https ? ": a KDC proxy (https), which is not supported" : ": its name has no address that could be found");
  }
  return why;
}

} // namespace

struct Tickets::Flight {
  std::optional<Outcome> outcome; ///< none after landing: the fetch was abandoned, try yourself
  std::vector<std::pair<Executor, std::weak_ptr<Signal>>> waiting;
};

/// Ends the claim however the fetch ends, also when its login is cancelled: then without an outcome.
struct Tickets::Landing {
  Tickets &tickets;
  auth::TicketKey key;
  std::optional<Outcome> outcome;
  ~Landing() { tickets.land(key, std::move(outcome)); }
};

std::shared_ptr<Tickets::Flight> Tickets::join(const auth::TicketKey &key) {
  std::lock_guard lock(mutex_);
  if (!store_.claim(key)) return flights_.at(key);
  flights_[key] = std::make_shared<Flight>();
  return nullptr;
}

void Tickets::land(const auth::TicketKey &key, std::optional<Outcome> outcome) {
  std::lock_guard lock(mutex_);
  if (outcome && *outcome) {
    store_.put(key, **outcome);
    forget_earlier(key);
  } else
    store_.release(key);
  if (outcome && !*outcome && refusals_.count() != 0 && keeps(outcome->error()))
    refused_[key] = {outcome->error(), std::chrono::steady_clock::now() + refusals_};
  auto flight = flights_.extract(key).mapped();
  flight->outcome = std::move(outcome);
  for (auto &[executor, waiter] : flight->waiting) {
    if (waiter.expired()) continue; // its login is over, and at shutdown its thread's event loop too
    asio::post(executor, [waiter] {
      if (auto signal = waiter.lock()) signal->notify();
    });
  }
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

void Tickets::forget() {
  std::lock_guard lock(mutex_);
  store_.clear();
  stored_.clear();
  refused_.clear();
}

Task<TicketResult> Tickets::acquire(LoadedIdentity identity, std::string spn, FetchContext context) {
  auto key = key_of(identity, spn);
  bool cached = false;
  auto outcome = co_await obtain(std::move(identity), std::move(spn), std::move(context), cached);
  if (!outcome) co_return std::unexpected(std::move(outcome.error()));
  co_return AcquiredTicket{*outcome, std::move(key), cached};
}

Task<Tickets::Outcome> Tickets::obtain(LoadedIdentity identity, std::string spn, FetchContext context, bool &cached) {
  auto executor = co_await asio::this_coro::executor;
  auto key = key_of(identity, spn);
  for (;;) {
    auto found = store_.lookup(key, std::chrono::system_clock::now());
    if (found.ticket) {
      cached = true;
      if (found.renew) asio::co_spawn(executor, renew(identity, spn, context), asio::detached);
      co_return found.ticket;
    }
    cached = false;
    {
      std::lock_guard lock(mutex_);
      if (auto kept = refused_.find(key); kept != refused_.end()) {
        if (kept->second.until > std::chrono::steady_clock::now()) co_return std::unexpected(kept->second.error);
        refused_.erase(kept);
      }
    }
    auto flight = join(key);
    if (!flight) {
      Landing landing{*this, key, {}};
      landing.outcome = co_await fetch(identity, spn, context);
      co_return *landing.outcome;
    }
    auto signal = std::make_shared<Signal>(executor);
    bool wait = false;
    {
      std::lock_guard lock(mutex_);
      // Landed between `join` and here: its outcome is there already.
      if (auto still = flights_.find(key); still != flights_.end() && still->second == flight) {
        flight->waiting.emplace_back(executor, signal);
        wait = true;
      }
    }
    if (wait) co_await signal->wait(Millis(0));
    std::optional<Outcome> outcome;
    {
      std::lock_guard lock(mutex_);
      outcome = flight->outcome;
    }
    if (outcome) co_return *outcome;
  }
}

Task<> Tickets::renew(LoadedIdentity identity, std::string spn, FetchContext context) {
  auto key = key_of(identity, spn);
  if (join(key)) co_return; // somebody else does it
  context.emit = background_;
  context.trace = false;
  Landing landing{*this, key, {}};
  landing.outcome = co_await fetch(identity, spn, context);
  if (!*landing.outcome) {
    Warned warning;
    warning.what = "renewal of " + (spn.empty() ? "the TGT of " + identity.identity->principal() : spn) +
                   " failed, the old ticket serves until it expires: " + landing.outcome->error().error.text;
    background_(warning);
  }
}

Task<Tickets::Outcome> Tickets::fetch(LoadedIdentity identity, std::string spn, FetchContext context) {
  auth::Trace trace;
  if (context.trace) trace = [emit = context.emit](std::string_view line) { emit(TraceLine{std::string(line)}); };
  if (spn.empty()) co_return co_await run(auth::request_tgt(identity.identity, kerberos_.path, trace), context);

  for (bool first = true;; first = false) {
    bool cached = false;
    auto tgt = co_await obtain(identity, "", context, cached);
    if (!tgt) co_return tgt;
    auto outcome = co_await run(auth::request_service_ticket(*tgt, spn, kerberos_.path, trace), context);
    if (outcome || outcome.error().unreachable || !blames_the_tgt(outcome.error().error.kind)) co_return outcome;
    // The KDC may have been rebuilt or the TGT revoked since it was stored: ask for a new one, once.
    store_.drop(key_of(identity, ""), *tgt);
    if (!cached || !first) co_return outcome;
  }
}

Task<Tickets::Outcome> Tickets::run(std::unique_ptr<auth::Exchange> exchange, FetchContext context) {
  for (;;) {
    auto action = exchange->next();
    if (auto *ticket = std::get_if<auth::TicketPtr>(&action)) co_return std::move(*ticket);
    if (auto *error = std::get_if<auth::Error>(&action))
      co_return std::unexpected(TicketError{std::move(*error), false});
    auto &ask = std::get<auth::AskKdc>(action);

    auto started = std::chrono::steady_clock::now();
    auto known = kerberos_.kdcs.find(ask.realm);
    if (known == kerberos_.kdcs.end() || known->second.empty())
      co_return std::unexpected(
          TicketError{error_of(auth::Kind::realm_unknown, "no KDC is configured for realm " + ask.realm), false});
    auto kdcs = co_await find_kdcs(kerberos_, ask.realm, context);
    auto answer = co_await ask_kdc(kdcs, std::move(ask.message), ask.proof, context.kdc_limit);
    KdcAnswered event;
    event.exchange = ask.exchange;
    event.us = micros_since(started);
    if (!answer) {
      for (const auto &kdc : known->second)
        event.kdc += (event.kdc.empty() ? "" : " ") + kdc.text();
      event.code = -1;
      event.text = why_unreachable(known->second, kdcs, answer.error());
      context.emit(event);
      co_return std::unexpected(TicketError{error_of(auth::Kind::other, event.text), true});
    }
    exchange->reply(answer->message);
    event.kdc = answer->kdc;
    if (const auto &reply = exchange->last_reply()) {
      event.code = reply->code;
      event.text = reply->text;
      if (reply->server_time) {
        event.stime = to_iso8601(*reply->server_time);
        event.skew_ms =
            std::chrono::duration_cast<Millis>(*reply->server_time - std::chrono::system_clock::now()).count();
      }
    }
    context.emit(event);
  }
}

Task<std::vector<KdcEndpoint>> find_kdcs(const auth::KerberosConfig &kerberos, const std::string &realm,
                                         FetchContext &context) {
  std::vector<KdcEndpoint> found;
  auto known = kerberos.kdcs.find(realm);
  if (known == kerberos.kdcs.end()) co_return found;
  for (const auto &kdc : known->second) {
    if (kdc.https) continue; // MS-KKDCP is not spoken
    auto target = auth::parse_target(kdc.host);
    if (!target) continue;
    auto emit = [&](const auth::DnsAnswer &answer) { context.emit(to_event(answer)); };
    auto facts = co_await canonicalise(context.resolver, *target, context.search, context.dns_limit, emit);
    auto *names = std::get_if<auth::NameFacts>(&facts);
    if (!names) continue;
    for (const auto &text : names->addresses) {
      boost::system::error_code error;
      auto address = asio::ip::make_address(text, error);
      if (!error) found.push_back({kdc.text(), {address, kdc.port}});
    }
  }
  co_return found;
}

DnsAnswered to_event(const auth::DnsAnswer &answer) {
  DnsAnswered event;
  event.question = answer.question.name;
  event.type = auth::to_string(answer.question.type);
  event.rcode = auth::to_string(answer.outcome);
  for (const auto &record : answer.records) {
    event.answers.push_back(std::string(auth::to_string(record.type)) + " " + record.data);
    event.ttl = event.answers.size() == 1 ? record.ttl.count() : std::min<std::int64_t>(event.ttl, record.ttl.count());
  }
  event.server = answer.server;
  event.cached = answer.cached;
  event.us = answer.took.count();
  return event;
}

} // namespace shim

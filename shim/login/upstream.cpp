#include "shim/login/upstream.hpp"

#include "shim/login/fallback.hpp"
#include "shim/login/redirect.hpp"
#include "shim/login/rewrite.hpp"

#include <fmt/format.h>

namespace shim {
namespace {

/// The attempt that follows on one that failed, with what is told of it.
std::optional<std::size_t> go_on(Login &login, const std::vector<Attempt> &plan, std::size_t index,
                                 const Failed &failed) {
  const auto diagnosed = diagnose(login.trail.records(), failed.failure).cause;
  const auto onward =
      what_follows(login.route, plan, {index, failed.failure.cause, diagnosed, failed.ticket_rejected});
  if (onward.what == Follows::nothing) return std::nullopt;
  if (onward.what == Follows::another_spn) return onward.next;
  const auto from = plan[index].text(), to = plan[onward.next].text();
  if (onward.what == Follows::withheld) {
    login.trail.emit(FallbackWithheld{from, to, onward.reason});
    return std::nullopt;
  }
  login.trail.emit(FallbackTaken{from, to, onward.reason});
  return onward.next;
}

/// Whether an attempt failed as it would where the instance is at another port by now: nobody listens, or
/// another instance does, or the KDC knows none of the SPNs by that port any more.
bool may_have_moved(const Failed &failed, const std::vector<Attempt> &plan, std::size_t index) {
  const auto cause = failed.failure.cause;
  const bool last_spelling = index + 1 == plan.size() || plan[index + 1].kind != plan[index].kind;
  return failed.wrong_instance || cause == Cause::connection_refused || cause == Cause::connection_timeout ||
         (cause == Cause::spn_missing && last_spelling);
}

std::string_view word_of(const Outcome &outcome) {
  if (const auto *failed = std::get_if<Failed>(&outcome)) return id(failed->failure.cause);
  return std::holds_alternative<Redirect>(outcome) ? "redirect" : "ok";
}

/// The attempts at one place, in the order of the plan. nullopt: the instance is at another port than was
/// thought.
Task<std::optional<Outcome>> log_in_at(Login &login, const Prepared &prepared) {
  const auto &plan = prepared.plan;
  auto port_from = prepared.port_from;
  for (std::size_t i = 0;;) {
    auto outcome = co_await try_attempt(login, prepared, i);
    if (std::holds_alternative<WouldConnect>(outcome)) co_return outcome;
    login.trail.emit(AttemptEnded{number_of(i), std::string(word_of(outcome))});
    const auto *failed = std::get_if<Failed>(&outcome);
    if (!failed) co_return outcome;
    // Before anything else follows on the failure: what failed may have been the port alone.
    if (port_from != PortFrom::configuration && may_have_moved(*failed, plan, i)) {
      const bool kept =
          std::exchange(port_from, PortFrom::browser) == PortFrom::kept; // asked once in a login
      // Who registers an SPN at last does not move the instance by that.
      if (kept || failed->failure.cause != Cause::spn_missing)
        login.services.browsers.flush(prepared.facts.target.host, prepared.facts.target.instance);
      if (kept && co_await is_elsewhere(login, prepared)) co_return std::nullopt;
    }
    const auto next = go_on(login, plan, i, *failed);
    if (!next) co_return outcome;
    i = *next;
  }
}

/// What a login came to at one place, wherever that is by now. `where` gets its name and port.
Task<Outcome> visit(Login &login, const Place &at, std::string &where) {
  where = place(at.target);
  for (auto browsed = Browsed::not_yet;; browsed = Browsed::already) {
    auto known = co_await prepare(login, at, browsed);
    if (!known) co_return Failed{std::move(known.error())};
    const auto prepared = std::make_shared<const Prepared>(std::move(*known));
    where = place(prepared->facts.target);
    if (at.own() || !login.first) {
      login.first = prepared;
      login.tickets.assign(prepared->plan.size(), std::nullopt);
    }
    auto outcome = co_await log_in_at(login, *prepared);
    if (outcome) co_return std::move(*outcome);
  }
}

/// All of a login, up to where it is to go: one place after the other.
Task<std::expected<std::variant<Upstream, WouldConnect>, Failure>> log_in(Login &login) {
  auto at = first_place(login);
  if (!at) co_return std::unexpected(std::move(at.error()));
  auto first = at->target;
  std::vector<std::string> been_to;
  std::string before; // what the target came to, where its partner is tried
  for (;;) {
    login.step = Step::resolve;
    if (!at->target.pipe.empty() && login.until == Until::logged_in)
      co_return login.fail(Cause::name_not_found,
                           at->target.typed + " is a named pipe: " + std::string(no_pipes));
    auto outcome = co_await visit(login, *at, been_to.emplace_back());
    if (auto *failed = std::get_if<Failed>(&outcome)) {
      if (auto partner = partner_of(login, *at, failed->failure)) {
        before =
            fmt::format("; before that, the target {}: {}", login.route.target, id(failed->failure.cause));
        *at = std::move(*partner);
        first = at->target;
        continue;
      }
      failed->failure.detail += before;
      co_return std::unexpected(std::move(failed->failure));
    }
    if (auto *upstream = std::get_if<Upstream>(&outcome)) co_return std::move(*upstream);
    if (std::holds_alternative<WouldConnect>(outcome)) co_return WouldConnect{};

    const auto &redirect = std::get<Redirect>(outcome);
    const int redirects = at->redirects + 1;
    auto next = follow_redirect(login.route, first, login.resolver.search().search,
                                {.server = tds::to_utf8(redirect.routing.server),
                                 .port = redirect.routing.port,
                                 .hop = redirects,
                                 .server_proven = redirect.server_proven,
                                 .password_goes_on = redirect.password_goes_on,
                                 .been_to = been_to});
    if (!next) co_return login.fail(Cause::redirect_refused, next.error());
    login.trail.emit(RedirectFollowed{been_to.back(), place(*next), redirects});
    *at = Place{std::move(*next), redirects, at->partner};
  }
}

/// The tickets of the first place's plan that the login has not come to.
Task<bool> ask_for_the_rest(Login &login) {
  if (login.first)
    for (std::size_t i = 0; i < login.tickets.size(); ++i)
      if (login.first->plan[i].spn && !login.tickets[i]) co_await get_ready(login, *login.first, i);
  co_return true;
}

std::vector<Candidate> candidates_of(const Login &login) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < login.tickets.size(); ++i)
    if (const auto &spn = login.first->plan[i].spn; spn && login.tickets[i])
      candidates.push_back({spn->spn, *login.tickets[i]});
  return candidates;
}

Failure too_late(const Login &login) {
  return {login.step, Cause::deadline,
          fmt::format("the login was not complete within {} ms; it was at step {}",
                      login.route.timeouts.login.count(), spelling(login.step))};
}

/// `log_in` within the login's own deadline.
Task<std::expected<std::variant<Upstream, WouldConnect>, Failure>> log_in_in_time(Login &login) {
  auto outcome = co_await with_deadline(log_in(login), login.route.timeouts.login);
  if (!outcome) co_return std::unexpected(too_late(login));
  co_return std::move(*outcome);
}

} // namespace

Task<std::expected<Upstream, Failure>> open_upstream(Login &login) {
  login.until = Until::logged_in;
  auto outcome = co_await log_in_in_time(login);
  if (!outcome) co_return std::unexpected(std::move(outcome.error()));
  auto &upstream = std::get<Upstream>(*outcome);
  const auto &reply = upstream.reply;
  login.trail.emit(
      LoginAnswered{true, reply.version.text(), tds::to_utf8(reply.database), reply.packet_size});
  co_return std::move(upstream);
}

Task<std::optional<Failure>> rehearse(Login &login) {
  login.until = Until::would_connect;
  auto outcome = co_await log_in_in_time(login);
  if (!outcome) co_return std::move(outcome.error());
  co_return std::nullopt;
}

Task<std::vector<Candidate>> every_candidate(Login &login) {
  co_await with_deadline(ask_for_the_rest(login), login.route.timeouts.login);
  co_return candidates_of(login);
}

} // namespace shim

#include "shim/login/upstream.hpp"

#include "shim/login/fallback.hpp"
#include "shim/login/redirect.hpp"
#include "shim/login/rewrite.hpp"

#include <fmt/format.h>

namespace shim {
namespace {

/// Whatever a client's own password has made is gone when its login ends, however that ends.
struct GivenForOneLogin {
  UpstreamRequest &request;
  ~GivenForOneLogin() {
    if (request.given) request.tickets.discard(*request.given);
    request.given.reset();
  }
};

/// The attempt that follows on one that failed, with what is told of it.
std::optional<std::size_t> go_on(UpstreamRequest &request, const std::vector<Attempt> &plan,
                                 std::size_t index, const Failed &failed) {
  const auto diagnosed = diagnose(request.trail.records(), failed.failure).cause;
  const auto onward =
      what_follows(request.route, plan, {index, failed.failure.cause, diagnosed, failed.ticket_rejected});
  if (onward.what == Follows::nothing) return std::nullopt;
  if (onward.what == Follows::another_spn) return onward.next;
  const auto from = plan[index].text(), to = plan[onward.next].text();
  if (onward.what == Follows::withheld) {
    request.trail.emit(FallbackWithheld{from, to, onward.reason});
    return std::nullopt;
  }
  request.trail.emit(FallbackTaken{from, to, onward.reason});
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

/// The attempts at one place, in the order of the plan. nullopt: the instance is at
/// another port than was thought.
Task<std::optional<Outcome>> log_in_at(UpstreamRequest &request, Prepared &prepared, Step &step) {
  for (std::size_t i = 0;;) {
    auto outcome = co_await try_attempt(request, prepared, i, step);
    const auto *failed = std::get_if<Failed>(&outcome);
    request.trail.emit(AttemptEnded{number_of(i), failed ? std::string(id(failed->failure.cause))
                                                  : std::holds_alternative<Redirect>(outcome) ? "redirect"
                                                                                              : "ok"});
    // Before anything else follows on the failure: what failed may have been the port alone.
    if (failed && prepared.port_from != PortFrom::configuration && may_have_moved(*failed, prepared.plan, i))
      if (co_await has_moved(request, prepared, failed->failure.cause, step)) co_return std::nullopt;
    const auto next = failed ? go_on(request, prepared.plan, i, *failed) : std::nullopt;
    if (!next) co_return outcome;
    i = *next;
  }
}

/// What a login came to at one place, wherever that is by now. `where` gets its name and port.
Task<Outcome> visit(UpstreamRequest &request, const Hop &hop, std::string &where, Step &step) {
  where = place(hop.target);
  for (bool again = false;; again = true) {
    auto prepared = co_await prepare(request, hop, step);
    if (!prepared) co_return Failed{std::move(prepared.error())};
    where = place(prepared->hop.target);
    if (again && prepared->port_from == PortFrom::kept)
      prepared->port_from = PortFrom::browser; // kept a moment ago
    auto outcome = co_await log_in_at(request, *prepared, step);
    if (outcome) co_return std::move(*outcome);
  }
}

Task<std::expected<Upstream, Failure>> log_in(UpstreamRequest &request, Step &step) {
  step = Step::resolve;
  auto hop = first_hop(request);
  if (!hop) co_return std::unexpected(std::move(hop.error()));
  auto first = hop->target;
  std::vector<std::string> been_to;
  std::string before; // what the target came to, where its partner is tried
  for (;;) {
    step = Step::resolve;
    if (!hop->target.pipe.empty())
      co_return fail(step, Cause::name_not_found,
                     hop->target.typed + " is a named pipe: " + std::string(no_pipes));
    auto outcome = co_await visit(request, *hop, been_to.emplace_back(), step);
    if (auto *failed = std::get_if<Failed>(&outcome)) {
      if (auto partner = partner_of(request, *hop, failed->failure)) {
        before =
            fmt::format("; before that, the target {}: {}", request.route.target, id(failed->failure.cause));
        *hop = std::move(*partner);
        first = hop->target;
        continue;
      }
      failed->failure.detail += before;
      co_return std::unexpected(std::move(failed->failure));
    }
    if (auto *upstream = std::get_if<Upstream>(&outcome)) co_return std::move(*upstream);

    const auto &redirect = std::get<Redirect>(outcome);
    auto next = follow_redirect(request.route, first, request.resolver.search().search,
                                {.server = tds::to_utf8(redirect.routing.server),
                                 .port = redirect.routing.port,
                                 .hop = hop->number + 1,
                                 .server_proven = redirect.server_proven,
                                 .password_goes_on = redirect.password_goes_on,
                                 .been_to = been_to});
    if (!next) co_return fail(Step::server_login, Cause::redirect_refused, next.error());
    request.trail.emit(RedirectFollowed{been_to.back(), place(*next), hop->number + 1});
    *hop = Hop{hop->number + 1, std::move(*next), "", hop->partner};
  }
}

/// Sets `rehearsal` at the point where a login would connect or end, and then asks
/// for the rest of the tickets.
Task<bool> ask_for_every_ticket(UpstreamRequest &request, std::optional<Rehearsal> &rehearsal,
                                std::vector<Candidate> &candidates, Step &step) {
  auto conclude = [&](std::optional<Failure> failure) {
    if (!rehearsal) rehearsal = Rehearsal{std::move(failure), request.trail.records().size(), {}};
  };
  step = Step::resolve;
  auto hop = first_hop(request);
  if (!hop) {
    conclude(std::move(hop.error()));
    co_return true;
  }
  auto prepared = co_await prepare(request, *hop, step);
  if (!prepared)
    if (auto partner = partner_of(request, *hop, prepared.error()))
      prepared = co_await prepare(request, std::move(*partner), step);
  if (!prepared) {
    conclude(std::move(prepared.error()));
    co_return true;
  }
  // As the login goes, and then the tickets that it would not have come to.
  const auto &plan = prepared->plan;
  std::vector<std::optional<auth::TicketPtr>> asked(plan.size());
  for (std::optional<std::size_t> i = 0; i;) {
    auto ready = co_await get_ready(request, *prepared, plan[*i], step);
    asked[*i] = ready && ready->ticket ? ready->ticket->ticket : nullptr;
    std::optional<std::size_t> next;
    if (ready) {
      conclude(std::nullopt);
    } else {
      request.trail.emit(AttemptEnded{number_of(*i), std::string(id(ready.error().cause))});
      next = go_on(request, plan, *i, {ready.error()});
      if (!next) conclude(std::move(ready.error()));
    }
    i = next;
  }
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (!plan[i].spn) continue;
    if (!asked[i]) {
      auto ready = co_await get_ready(request, *prepared, plan[i], step);
      asked[i] = ready && ready->ticket ? ready->ticket->ticket : nullptr;
    }
    candidates.push_back({plan[i].spn->spn, *asked[i]});
  }
  co_return true;
}

Failure too_late(const config::Route &route, Step step) {
  return {step, Cause::deadline,
          "the login was not complete within " + std::to_string(route.timeouts.login.count()) +
              " ms; it was at step " + std::string(spelling(step))};
}

} // namespace

Task<std::expected<Upstream, Failure>> open_upstream(UpstreamRequest request) {
  const GivenForOneLogin given{request};
  Step step = Step::resolve;
  auto outcome = co_await with_deadline(log_in(request, step), request.route.timeouts.login);
  if (!outcome) co_return std::unexpected(too_late(request.route, step));
  if (*outcome) {
    const auto &reply = (*outcome)->reply;
    request.trail.emit(
        LoginAnswered{true, reply.version.text(), tds::to_utf8(reply.database), reply.packet_size});
  }
  co_return std::move(*outcome);
}

Task<Rehearsal> rehearse(UpstreamRequest request) {
  const GivenForOneLogin given{request};
  Step step = Step::resolve;
  std::optional<Rehearsal> rehearsal;
  std::vector<Candidate> candidates;
  co_await with_deadline(ask_for_every_ticket(request, rehearsal, candidates, step),
                         request.route.timeouts.login);
  if (!rehearsal) rehearsal = Rehearsal{too_late(request.route, step), request.trail.records().size(), {}};
  rehearsal->candidates = std::move(candidates);
  co_return std::move(*rehearsal);
}

} // namespace shim

// DNS questions over c-ares on our own event loop: asynchronous, one channel for each server, so that the log can say who answered.
#pragma once

#include "auth/driver.hpp"
#include "config/config.hpp"
#include "shim/net/task.hpp"

#include <functional>
#include <map>

namespace shim {

/// One resolver a worker thread; not thread-safe. Answers are cached by their smallest TTL, "no such record of this name" for a minute, and failures (no such name, no answer) for `failures`, so that a
/// server that is down costs one login its time and not all of them; at most `most_cached` in all.
class Resolver {
public:
  Resolver(Executor executor, std::vector<config::Address> servers, Millis failures = Millis(0));
  ~Resolver();
  Resolver(const Resolver &) = delete;

  /// Asks the servers in their order, each at most its share of `limit`; a timeout, SERVFAIL, REFUSED or no reply at all goes on to the next
  /// server, any other answer is final. Never throws; with no server configured the outcome is `unreachable`.
  Task<auth::DnsAnswer> ask(auth::DnsQuestion question, Millis limit);
  /// Drops every cached answer (SIGHUP).
  void forget() { cache_.clear(); }

  static constexpr std::size_t most_cached = 1024;
  static constexpr std::chrono::seconds no_data_kept{60};

private:
  class Channel;
  struct Cached {
    auth::DnsAnswer answer;
    std::chrono::steady_clock::time_point until;
  };
  void remember(const auth::DnsAnswer &answer);

  Executor executor_;
  Millis failures_;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::map<std::pair<std::string, auth::DnsType>, Cached> cache_;
};

/// Answers every question at once and keeps their order.
Task<std::vector<auth::DnsAnswer>> ask_all(Resolver &resolver, std::vector<auth::DnsQuestion> questions, Millis limit);

/// Canonicaliser driven by a resolver, by these procedures. `answered` sees each answer, in order. The whole takes at most `limit`.
Task<std::variant<auth::NameFacts, auth::NameError>>
canonicalise(Resolver &resolver, auth::Target target, auth::SearchPolicy policy, auth::Procedures procedures,
             Millis limit, std::function<void(const auth::DnsAnswer &)> answered);

/// DriverQuestions driven by a resolver. `answered` and `limit` as above; what DNS says is in the facts, so there is no error.
Task<auth::DriverFacts> learn_for_drivers(Resolver &resolver, auth::Target target, auth::SearchPolicy policy,
                                          Millis limit, std::function<void(const auth::DnsAnswer &)> answered);

} // namespace shim

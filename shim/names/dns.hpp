// Names: the hosts file, then DNS over c-ares on our own event loop (asynchronous, one channel for each
// server, so that the log can say who answered); or the system's word.
#pragma once

#include "auth/driver.hpp"
#include "shim/names/name_files.hpp"
#include "shim/names/system_names.hpp"

#include <map>

namespace shim {

/// One resolver a worker thread; not thread-safe. Answers are cached by their smallest TTL, "no such
/// record of this name" for a minute, and failures (no such name, no answer) for `failures`, so that a
/// server that is down costs one login its time and not all of them; at most `most_cached` in all. What
/// the hosts file and the system say is theirs to keep, but for the system's failures. When one of the
/// files has changed, everything is forgotten, and questions go to the servers that hold now; those under
/// way end with the old ones.
class Resolver {
public:
  Resolver(Executor executor, std::shared_ptr<NameFiles> files, std::shared_ptr<SystemNames> system);
  /// DNS alone, by these servers.
  Resolver(Executor executor, std::vector<config::Address> servers, Millis failures = Millis(0));
  ~Resolver();
  Resolver(const Resolver &) = delete;

  /// The hosts file's answer, where it has one. Else asks the servers in their order, each at most its share
  /// of `limit`; a timeout, SERVFAIL, REFUSED or no reply at all goes on to the next server, any other answer
  /// is final. Never throws; with no server configured the outcome is `unreachable`. With resolver = "system"
  /// it is the system that is asked for names and addresses. `completed`: a search suffix made the name;
  /// hosts(5) is for names as typed.
  Task<auth::DnsAnswer> ask(auth::DnsQuestion question, Millis limit, bool completed = false);
  /// How names are completed now.
  auth::SearchPolicy search();
  /// The same for one name: not at all where the hosts file has it, or the system completes.
  auth::SearchPolicy search_for(const auth::Target &target, auth::SearchPolicy policy);
  /// Drops every cached answer (SIGHUP), and keeps no answer to a question that is under way: it was asked of
  /// what may have been mended since.
  void forget() {
    cache_.clear();
    ++forgotten_;
  }

  static constexpr std::size_t most_cached = 1024;
  static constexpr std::chrono::seconds no_data_kept{60};

private:
  class Channel;
  struct Cached {
    auth::DnsAnswer answer;
    std::chrono::steady_clock::time_point until;
  };
  void follow_files();
  std::optional<auth::DnsAnswer> find_cached(const auth::DnsQuestion &question);
  Task<auth::DnsAnswer> ask_servers(auth::DnsQuestion question, Millis limit);
  void remember(const auth::DnsAnswer &answer);

  Executor executor_;
  std::shared_ptr<NameFiles> files_;
  std::shared_ptr<SystemNames> system_;
  std::shared_ptr<const NameRules> rules_; ///< what `channels_` and `cache_` are of
  std::vector<std::shared_ptr<Channel>> channels_;
  std::map<std::pair<std::string, auth::DnsType>, Cached> cache_;
  std::uint64_t forgotten_ = 0; ///< how often
};

/// Answers every question at once and keeps their order. `typed`: where given, every other name that
/// addresses are asked of was completed.
Task<std::vector<auth::DnsAnswer>> ask_all(Resolver &resolver, std::vector<auth::DnsQuestion> questions,
                                           Millis limit, std::string typed = {});

/// Canonicaliser driven by a resolver, by these procedures. `answered` sees each answer, in order. The
/// whole takes at most `limit`.
Task<std::variant<auth::NameFacts, auth::NameError>>
canonicalise(Resolver &resolver, auth::Target target, auth::SearchPolicy policy, auth::Procedures procedures,
             Millis limit, std::function<void(const auth::DnsAnswer &)> answered);

/// DriverQuestions driven by a resolver. `answered` and `limit` as above; what DNS says is in the
/// facts, so there is no error.
Task<auth::DriverFacts> learn_for_drivers(Resolver &resolver, auth::Target target, auth::SearchPolicy policy,
                                          Millis limit,
                                          std::function<void(const auth::DnsAnswer &)> answered);

} // namespace shim

#include "shim/names/dns.hpp"

#include "auth/host_name.hpp"
#include "shim/names/dns_reply.hpp"

#include <ares.h>
#include <arpa/nameser.h>
#include <mutex>
#include <unordered_map>

namespace shim {
namespace {

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using Clock = std::chrono::steady_clock;

int wire_type(auth::DnsType type) {
  switch (type) {
  case auth::DnsType::a:
    return ns_t_a;
  case auth::DnsType::aaaa:
    return ns_t_aaaa;
  case auth::DnsType::cname:
    return ns_t_cname;
  case auth::DnsType::ptr:
    return ns_t_ptr;
  case auth::DnsType::srv:
    return ns_t_srv;
  }
  return ns_t_a;
}

auth::DnsOutcome outcome_of(int status) {
  switch (status) {
  case ARES_SUCCESS:
    return auth::DnsOutcome::ok;
  case ARES_ENOTFOUND:
    return auth::DnsOutcome::no_name;
  case ARES_ENODATA:
    return auth::DnsOutcome::no_data;
  case ARES_ESERVFAIL:
  case ARES_ENOTIMP:
    return auth::DnsOutcome::server_failure;
  case ARES_EREFUSED:
    return auth::DnsOutcome::refused;
  case ARES_ETIMEOUT:
  case ARES_ECANCELLED:
  case ARES_EDESTRUCTION:
    return auth::DnsOutcome::timeout;
  case ARES_ECONNREFUSED:
    return auth::DnsOutcome::unreachable;
  default:
    return auth::DnsOutcome::malformed;
  }
}

/// True for an answer that another server might better.
bool try_next(auth::DnsOutcome outcome) {
  using enum auth::DnsOutcome;
  return outcome == timeout || outcome == server_failure || outcome == refused || outcome == unreachable;
}

} // namespace

/// One c-ares channel with one server. c-ares tells which sockets it waits for; we wait for them and for its
/// timer, and call back into it.
class Resolver::Channel : public std::enable_shared_from_this<Resolver::Channel> {
public:
  Channel(Executor executor, config::Address server)
      : server(std::move(server)), executor_(executor), timer_(executor) {
    static std::once_flag once;
    std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
    ares_options options{};
    char only_dns[] = "b"; // not the hosts file: we read it ourselves, and say so
    options.lookups = only_dns;
    options.timeout = 700; // milliseconds for the first try
    options.tries = 3;
    options.ednspsz = 1232;
    // NOCHECKRESP: else c-ares 1.18 asks thrice and then calls a server that answers
    // SERVFAIL or REFUSED unreachable.
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS | ARES_FLAG_NOCHECKRESP;
    options.sock_state_cb = [](void *self, ares_socket_t fd, int readable, int writable) {
      static_cast<Channel *>(self)->watch(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    constexpr int which = ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_FLAGS |
                          ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB;
    if (ares_init_options(&channel_, &options, which) != ARES_SUCCESS) {
      channel_ = nullptr;
      return;
    }
    if (ares_set_servers_ports_csv(channel_, this->server.text().c_str()) != ARES_SUCCESS) {
      ares_destroy(channel_);
      channel_ = nullptr;
    }
  }
  ~Channel() {
    if (channel_) ares_destroy(channel_);
  }

  Task<auth::DnsAnswer> ask(auth::DnsQuestion question, Millis limit) {
    auto started = Clock::now();
    auto pending = std::make_shared<Pending>(executor_, std::move(question));
    pending->answer.server = server.text();
    if (!channel_) {
      pending->answer.outcome = auth::DnsOutcome::unreachable;
    } else {
      ares_query(channel_, pending->answer.question.name.c_str(), ns_c_in,
                 wire_type(pending->answer.question.type), &Channel::answered,
                 new std::shared_ptr<Pending>(pending));
      arm_timer();
      if (!pending->done) co_await pending->signal.wait(limit);
      if (!pending->done) pending->answer.outcome = auth::DnsOutcome::timeout;
    }
    pending->answer.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started);
    co_return pending->answer;
  }

  config::Address server;

private:
  /// Shared between the waiting coroutine and c-ares, which always calls back, if only when it is destroyed.
  struct Pending {
    Pending(Executor executor, auth::DnsQuestion question) : signal(executor) {
      answer.question = std::move(question);
    }
    Signal signal;
    auth::DnsAnswer answer;
    bool done = false;
  };

  static void answered(void *argument, int status, int, unsigned char *message, int length) {
    std::unique_ptr<std::shared_ptr<Pending>> holder(static_cast<std::shared_ptr<Pending> *>(argument));
    auto &pending = **holder;
    pending.answer.outcome = outcome_of(status);
    if (message && length > 0 &&
        !decode_dns_reply({message, static_cast<std::size_t>(length)}, pending.answer.records))
      pending.answer.outcome = auth::DnsOutcome::malformed;
    pending.done = true;
    pending.signal.notify();
  }

  struct Watched {
    explicit Watched(Executor executor, int fd) : descriptor(executor, fd) {}
    ~Watched() { let_go(); }
    /// c-ares owns and closes the socket. It has to be let go before that: c-ares may open another one with
    /// the same number at once, and what is let go then is the new one.
    void let_go() {
      if (descriptor.is_open()) descriptor.release();
    }
    Descriptor descriptor;
    bool read = false, write = false;
    bool read_armed = false, write_armed = false;
  };

  void watch(ares_socket_t fd, bool readable, bool writable) {
    if (!readable && !writable) {
      if (auto found = watched_.find(fd); found != watched_.end()) {
        found->second->let_go(); // a handler further up the stack may still hold it
        watched_.erase(found);
      }
      return;
    }
    auto &entry = watched_[fd];
    if (!entry) entry = std::make_shared<Watched>(executor_, fd);
    entry->read = readable;
    entry->write = writable;
    arm(fd, entry);
  }

  void arm(ares_socket_t fd, const std::shared_ptr<Watched> &entry) {
    auto wait = [&](Descriptor::wait_type what, bool &wanted, bool &armed, bool reading) {
      if (!wanted || armed) return;
      armed = true;
      entry->descriptor.async_wait(
          what, [this, fd, weak = std::weak_ptr(entry), &armed, reading](boost::system::error_code error) {
            auto still = weak.lock();
            if (!still) return; // c-ares has closed it; `this` may be gone as well
            armed = false;
            if (error) return;
            ares_process_fd(channel_, reading ? fd : ARES_SOCKET_BAD, reading ? ARES_SOCKET_BAD : fd);
            if (auto found = watched_.find(fd); found != watched_.end() && found->second == still)
              arm(fd, still);
            arm_timer();
          });
    };
    wait(Descriptor::wait_read, entry->read, entry->read_armed, true);
    wait(Descriptor::wait_write, entry->write, entry->write_armed, false);
  }

  void arm_timer() {
    timeval at{};
    if (!ares_timeout(channel_, nullptr, &at)) {
      timer_.cancel();
      return;
    }
    timer_.expires_after(std::chrono::seconds(at.tv_sec) + std::chrono::microseconds(at.tv_usec) + Millis(1));
    timer_.async_wait([this, weak = weak_from_this()](boost::system::error_code error) {
      const auto still = weak.lock(); // a timer that was over already calls, whatever has become of its owner
      if (error || !still) return;
      ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      arm_timer();
    });
  }

  Executor executor_;
  Timer timer_;
  ares_channel channel_ = nullptr;
  std::unordered_map<ares_socket_t, std::shared_ptr<Watched>> watched_;
};

namespace {
std::shared_ptr<NameFiles> only_dns(std::vector<config::Address> servers, Millis failures) {
  config::Dns dns;
  dns.servers = std::move(servers);
  dns.hosts.clear();
  dns.failures = failures;
  return std::make_shared<NameFiles>(std::move(dns));
}
} // namespace

Resolver::Resolver(Executor executor, std::shared_ptr<NameFiles> files, std::shared_ptr<SystemNames> system)
    : executor_(executor), files_(std::move(files)), system_(std::move(system)) {
  follow_files();
}

Resolver::Resolver(Executor executor, std::vector<config::Address> servers, Millis failures)
    : Resolver(executor, only_dns(std::move(servers), failures), nullptr) {}

Resolver::~Resolver() = default;

void Resolver::follow_files() {
  auto before = std::exchange(rules_, files_->current());
  if (before == rules_) return;
  cache_.clear();
  if (before && before->dns.servers == rules_->dns.servers) return;
  channels_.clear(); // who still waits for one has a share of it
  for (const auto &server : rules_->dns.servers)
    channels_.push_back(std::make_shared<Channel>(executor_, server));
}

auth::SearchPolicy Resolver::search() {
  follow_files();
  return {.search = rules_->dns.search, .ndots = rules_->dns.ndots};
}

auth::SearchPolicy Resolver::search_for(const auth::Target &target, auth::SearchPolicy policy) {
  follow_files();
  const bool system = rules_->dns.resolver == config::Resolver::system;
  policy.complete = !system && !rules_->hosts.has(target.host);
  return policy;
}

std::optional<auth::DnsAnswer> Resolver::find_cached(const auth::DnsQuestion &question) {
  const auto hit = cache_.find({question.name, question.type});
  if (hit == cache_.end()) return std::nullopt;
  if (hit->second.until <= Clock::now()) {
    cache_.erase(hit);
    return std::nullopt;
  }
  auto answer = hit->second.answer;
  answer.cached = true;
  answer.took = std::chrono::microseconds(0);
  return answer;
}

Task<auth::DnsAnswer> Resolver::ask(auth::DnsQuestion question, Millis limit, bool completed) {
  question.name = auth::lower(question.name);
  follow_files();
  const bool of_system =
      rules_->dns.resolver == config::Resolver::system && SystemNames::answers(question.type);
  if (!of_system && !(completed && question.type != auth::DnsType::ptr))
    if (auto known = rules_->hosts.answer(question)) co_return std::move(*known);
  if (auto kept = find_cached(question)) co_return std::move(*kept);
  const auto rules = rules_;
  const auto forgotten = forgotten_;
  auto answer = of_system ? co_await system_->ask(std::move(question), limit)
                          : co_await ask_servers(std::move(question), limit);
  if (rules == rules_ && forgotten == forgotten_)
    remember(answer); // else it is of servers that count no longer, or of before
  co_return answer;
}

Task<auth::DnsAnswer> Resolver::ask_servers(auth::DnsQuestion question, Millis limit) {
  const auto started = Clock::now();
  const auto channels = channels_; // they stay while they are asked, whatever becomes of resolv.conf
  auth::DnsAnswer answer;
  answer.question = question;
  answer.outcome = auth::DnsOutcome::unreachable;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    auto share = left_of(limit, started) / static_cast<int>(channels.size() - i);
    answer = co_await channels[i]->ask(question, limit.count() == 0 ? limit : std::max(share, Millis(1)));
    if (!try_next(answer.outcome)) break;
  }
  co_return answer;
}

void Resolver::remember(const auth::DnsAnswer &answer) {
  // That a name has no AAAA record stays true about as long as its A record: without this,
  // every login would ask again.
  bool no_data = answer.outcome == auth::DnsOutcome::no_data;
  const bool failed = !no_data && answer.outcome != auth::DnsOutcome::ok;
  if (!no_data && !failed && answer.records.empty()) return;
  if (!failed && answer.via == "system") return; // it has a cache of its own, or wants none
  Millis kept = failed    ? rules_->dns.failures
                : no_data ? Millis(no_data_kept)
                          : Millis(answer.records.front().ttl);
  for (const auto &record : answer.records)
    kept = std::min(kept, Millis(record.ttl));
  if (kept.count() <= 0) return;
  if (cache_.size() >= most_cached) cache_.clear();
  cache_[{answer.question.name, answer.question.type}] = {answer, Clock::now() + kept};
}

Task<std::vector<auth::DnsAnswer>> ask_all(Resolver &resolver, std::vector<auth::DnsQuestion> questions,
                                           Millis limit, std::string typed) {
  using namespace asio::experimental::awaitable_operators;
  const auto ask = [&](const auth::DnsQuestion &question) {
    return resolver.ask(question, limit, !typed.empty() && question.name != typed);
  };
  std::vector<auth::DnsAnswer> answers;
  std::size_t i = 0;
  for (; i + 1 < questions.size(); i += 2) {
    auto [first, second] = co_await (ask(questions[i]) && ask(questions[i + 1]));
    answers.push_back(std::move(first));
    answers.push_back(std::move(second));
  }
  if (i < questions.size()) answers.push_back(co_await ask(questions[i]));
  co_return answers;
}

Task<std::variant<auth::NameFacts, auth::NameError>>
canonicalise(Resolver &resolver, auth::Target target, auth::SearchPolicy policy, auth::Procedures procedures,
             Millis limit, std::function<void(const auth::DnsAnswer &)> answered) {
  auto started = Clock::now();
  const auto typed = auth::plain_name(target.host);
  policy = resolver.search_for(target, std::move(policy));
  auth::Canonicaliser machine(std::move(target), std::move(policy), std::move(procedures));
  for (;;) {
    auto action = machine.next();
    if (auto *facts = std::get_if<auth::NameFacts>(&action)) co_return std::move(*facts);
    if (auto *error = std::get_if<auth::NameError>(&action)) co_return std::move(*error);
    auto answers =
        co_await ask_all(resolver, std::get<auth::AskDns>(action).questions, left_of(limit, started), typed);
    for (const auto &answer : answers)
      answered(answer);
    machine.answer(std::move(answers));
  }
}

Task<auth::DriverFacts> learn_for_drivers(Resolver &resolver, auth::Target target, auth::SearchPolicy policy,
                                          Millis limit,
                                          std::function<void(const auth::DnsAnswer &)> answered) {
  const auto started = Clock::now();
  policy = resolver.search_for(target, std::move(policy));
  auth::DriverQuestions machine(std::move(target), std::move(policy));
  for (;;) {
    auto action = machine.next();
    if (auto *facts = std::get_if<auth::DriverFacts>(&action)) co_return std::move(*facts);
    auto answers =
        co_await ask_all(resolver, std::get<auth::AskDns>(action).questions, left_of(limit, started));
    std::ranges::for_each(answers, answered);
    machine.answer(std::move(answers));
  }
}

} // namespace shim

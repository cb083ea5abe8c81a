#include "shim/acceptor.hpp"

#include "shim/transport/connect.hpp"

#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <list>
#include <netinet/tcp.h>
#include <vector>

namespace shim {
namespace {

constexpr Millis pause_in_trouble{100};  // when not even a refusal can be made
constexpr Millis turned_away_told{1000}; // one line about them in so much time

/// Descriptors held back for the time when there are no others: each is closed to accept one more connection,
/// and to tell that client why it is refused.
class SpareDescriptors {
public:
  SpareDescriptors() { refill(); }
  void refill() {
    while (spares_.size() < most) {
      auth::Descriptor spare(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!spare) return;
      spares_.push_back(std::move(spare));
    }
  }
  /// Makes one descriptor free. False: there is none left to give.
  bool give() {
    if (spares_.empty()) return false;
    spares_.pop_back();
    return true;
  }

private:
  static constexpr std::size_t most = 4;
  std::vector<auth::Descriptor> spares_;
};

/// A socket with the listener that it belongs to.
struct Door {
  using Waiter = asio::posix::basic_stream_descriptor<Executor>;
  ListenerPtr listener;
  ListeningSocket socket;
  Waiter waiter; ///< has a descriptor of its own: Asio closes what it waits for

  Door(asio::io_context &io, ListenerPtr whose, ListeningSocket listening)
      : listener(std::move(whose)), socket(std::move(listening)), waiter(io, ::dup(socket.fd())) {}
  void close() {
    waiter.close();
    socket.close();
  }
};

} // namespace

/// Lives on the acceptor's thread.
class Acceptor::Loop {
public:
  Loop(asio::io_context &io, Limits &limits, Sink &log, Take take)
      : io_(io), limits_(limits), log_(log), take_(std::move(take)) {}

  void add(ListenerPtr listener, ListeningSocket socket) {
    auto door = std::make_shared<Door>(io_, std::move(listener), std::move(socket));
    doors_.push_back(door);
    asio::co_spawn(io_, accept_on(std::move(door)), asio::detached);
  }
  void add(std::unique_ptr<BrowserResponder> responder) { responder_ = std::move(responder); }
  void close() {
    for (const auto &door : doors_)
      door->close();
    doors_.clear();
    responder_.reset();
  }
  Task<> tell_turned_away() {
    Timer pause(io_, turned_away_told);
    co_await pause.async_wait(as_result);
    shim::tell_turned_away(limits_, log_);
  }

private:
  Task<> accept_on(std::shared_ptr<Door> door);
  /// Accepts one connection, and refuses it where there is no room for it. Whether there was one, else errno.
  std::pair<bool, int> accept_one(const Door &door);
  std::pair<bool, int> accept_one_if_memory_lasts(const Door &door);
  std::pair<bool, int> refuse_one(const Door &door, const char *why);
  void pass_on(const Door &door, auth::Descriptor fd, std::optional<Admission> admission);

  asio::io_context &io_;
  Limits &limits_;
  Sink &log_;
  Take take_;
  SpareDescriptors spares_;
  std::list<std::shared_ptr<Door>> doors_;
  std::unique_ptr<BrowserResponder> responder_; // null: none is configured
};

Task<> Acceptor::Loop::accept_on(std::shared_ptr<Door> door) {
  Timer pause(io_);
  std::string trouble; // that was told already
  while (door->socket.open()) {
    auto [error] = co_await door->waiter.async_wait(Door::Waiter::wait_read, as_result);
    while (!error && door->socket.open()) {
      auto [taken, why] = accept_one_if_memory_lasts(*door);
      if (taken) trouble.clear();
      if (taken || why == EINTR || why == ECONNABORTED) continue;
      if (why == EAGAIN || why == EWOULDBLOCK) break;
      if (std::string text = std::strerror(why); why != ENOMEM && text != std::exchange(trouble, text))
        log_.emit(Warned{"listener " + door->listener->settings.name + " cannot accept: " + text});
      pause.expires_after(pause_in_trouble);
      co_await pause.async_wait(as_result);
    }
  }
}

std::pair<bool, int> Acceptor::Loop::accept_one_if_memory_lasts(const Door &door) {
  try {
    return accept_one(door);
  } catch (const std::bad_alloc &) { // the connection, if there was one, is closed
    limits_.turned_away();
    return {false, ENOMEM};
  }
}

std::pair<bool, int> Acceptor::Loop::accept_one(const Door &door) {
  spares_.refill();
  auth::Descriptor fd(::accept4(door.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const bool spent = !fd && (errno == EMFILE || errno == ENFILE);
  if (spent && spares_.give())
    return refuse_one(door,
                      "no file descriptor is left for it (RLIMIT_NOFILE, or fs.file-max of the machine)");
  if (!fd) return {false, errno};
  pass_on(door, std::move(fd),
          has_memory() ? limits_.admit(door.listener->id, door.listener->settings.name)
                       : limits_.turn_down("sqlshim is out of memory"));
  return {true, 0};
}

std::pair<bool, int> Acceptor::Loop::refuse_one(const Door &door, const char *why) {
  auth::Descriptor fd(::accept4(door.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return {false, errno};
  pass_on(door, std::move(fd), limits_.turn_down(why));
  return {true, 0};
}

void Acceptor::Loop::pass_on(const Door &door, auth::Descriptor fd, std::optional<Admission> admission) {
  if (!admission) return limits_.turned_away();
  if (door.socket.family() != AF_UNIX) {
    int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    keep_alive(fd.get());
  }
  take_({std::move(fd), door.socket.family(), door.listener, std::move(*admission)});
}

Acceptor::Acceptor(Limits &limits, Sink &log, Take take)
    : loop_(std::make_unique<Loop>(io_, limits, log, std::move(take))) {
  limits.on_turned_away([this] { asio::co_spawn(io_, loop_->tell_turned_away(), asio::detached); });
}

Acceptor::~Acceptor() { join(); }

void Acceptor::add(ListenerPtr listener, ListeningSocket socket) {
  loop_->add(std::move(listener), std::move(socket));
}

void Acceptor::add(std::unique_ptr<BrowserResponder> responder) { loop_->add(std::move(responder)); }

void Acceptor::run() {
  thread_ = std::thread([this] { io_.run(); });
}

void Acceptor::stop_accepting() {
  asio::post(io_, [this] { loop_->close(); });
}

void Acceptor::join() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
}

void tell_turned_away(Limits &limits, Sink &log) {
  const auto count = limits.take_turned_away();
  if (count == 0) return;
  log.emit(Warned{
      fmt::format("{} connections were closed without an answer, since {} others are being refused already; "
                  "the causes of those tell why",
                  count, Limits::most_farewells)});
}

} // namespace shim

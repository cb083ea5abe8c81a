#include "shim/worker.hpp"

#include <netinet/in.h>

namespace shim {

void Worker::run() {
  thread_ = std::thread([this] {
    // What has no memory to go on ends by itself (a coroutine is unwound, a relay ends); the others go on.
    for (;;)
      try {
        io_.run();
        return;
      } catch (const std::bad_alloc &) {
      }
  });
}

void Worker::give(Arrival arrival, SettingsPtr settings, std::function<void()> gone) {
  ++count_;
  std::shared_ptr<void> alive(nullptr, [this, gone = std::move(gone)](void *) {
    --count_;
    gone();
  });
  asio::post(io_, [this, arrival = std::move(arrival), settings = std::move(settings),
                   alive = std::move(alive)] mutable {
    begin(std::move(arrival), std::move(settings), std::move(alive));
  });
}

void Worker::begin(Arrival arrival, SettingsPtr settings, std::shared_ptr<void> alive) {
  Socket socket(io_.get_executor());
  const asio::generic::stream_protocol protocol(arrival.family, arrival.family == AF_UNIX ? 0 : IPPROTO_TCP);
  boost::system::error_code error;
  socket.assign(protocol, arrival.fd.get(), error);
  if (error) return;
  arrival.fd.release();
  asio::co_spawn(io_,
                 serve_client({common_, resolver_, connections_}, std::move(settings), std::move(arrival),
                              std::move(alive), std::move(socket)),
                 asio::detached);
}

void Worker::forget() {
  asio::post(io_, [this] { resolver_.forget(); });
}

void Worker::stop_all(const std::string &reason) {
  asio::post(io_, [this, reason] { connections_.stop_all(reason); });
}

void Worker::join() {
  if (!thread_.joinable()) return;
  work_.reset();
  io_.stop();
  thread_.join();
}

} // namespace shim

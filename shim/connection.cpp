#include "shim/connection.hpp"

namespace shim {

Connection::Connection(ListenerPtr came_by, SettingsPtr its_settings, Quota::Place held,
                       std::shared_ptr<void> as_long_as_it_lives, Sink &log, Connections &others)
    : alive(std::move(as_long_as_it_lives)), listener(std::move(came_by)), settings(std::move(its_settings)),
      place(std::move(held)), trail(log), entry(others) {
  entry.on_ask([this] { return state(); });
}

ConnectionState Connection::state() const {
  ConnectionState state{.id = trail.id(),
                        .since = since,
                        .listener = listener->settings.name,
                        .uid = uid,
                        .user = user,
                        .route = route ? route->name : "",
                        .target = route ? route->target : "",
                        .step = std::string(spelling(step))};
  if (const auto running = relay.lock()) {
    state.step = "relay";
    state.moved = {running->up(), running->down()};
  }
  return state;
}

void Connection::closed(std::string by, std::string reason, Traffic moved) {
  const auto lasted = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - since);
  trail.emit(Closed{std::move(by), std::move(reason), moved.up, moved.down, lasted.count()});
}

void start_relay(std::shared_ptr<Connection> connection, Stream client, Stream server) {
  connection->trail.forget();
  const auto idle = connection->route->timeouts.idle;
  const auto relay =
      std::make_shared<Relay>(std::move(client), std::move(server), idle, [connection](RelayEnd end) {
        connection->closed(end.by, end.reason, {end.up, end.down});
      });
  connection->relay = relay;
  connection->entry.on_stop([raw = connection.get()](const std::string &reason) {
    if (auto running = raw->relay.lock()) running->stop(reason);
  });
  relay->start();
}

} // namespace shim

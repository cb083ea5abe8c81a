// The connections that live on one worker thread: what each is, and how to end it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace shim {

/// Bytes that were relayed so far: towards the server, towards the client.
struct Traffic {
  std::uint64_t up = 0, down = 0;
};

/// One connection as it is at a moment.
struct ConnectionState {
  std::string id = {}; ///< as in the decision log
  std::chrono::steady_clock::time_point since{};
  std::string listener = {};
  std::optional<uid_t> uid = {}; ///< as proven; nullopt: not yet, or not at all
  std::string user = {};
  std::string route = {}, target = {}; ///< as decided, and as configured; empty: not yet
  std::string step = {};               ///< of its login, as in event Refused; "relay" behind it
  Traffic moved = {};
};

/// Not thread-safe: lives on its worker's thread. Whoever wants to know of its connections asks there, so
/// nothing on the way of the data takes a lock.
class Connections {
public:
  using Stop = std::function<void(const std::string &reason)>;
  using Ask = std::function<ConnectionState()>;

private:
  struct Item {
    Stop stop;
    Ask ask;
  };

public:
  /// One connection's entry; leaves the list when it goes. Its `stop` may be replaced as the connection
  /// moves on from login to relay.
  class Entry {
  public:
    explicit Entry(Connections &owner)
        : owner_(&owner), place_(owner.items_.insert(owner.items_.end(), Item{})) {}
    Entry(Entry &&other) noexcept : owner_(std::exchange(other.owner_, nullptr)), place_(other.place_) {}
    Entry &operator=(Entry &&) = delete;
    ~Entry() {
      if (owner_) owner_->items_.erase(place_);
    }
    void on_stop(Stop stop) { place_->stop = std::move(stop); }
    void on_ask(Ask ask) { place_->ask = std::move(ask); }

  private:
    Connections *owner_;
    std::list<Item>::iterator place_;
  };

  void stop_all(const std::string &reason) {
    auto items = items_; // a stop may take its entry out of the list
    for (auto &item : items)
      if (item.stop) item.stop(reason);
  }
  /// Ends the one with this id. False: there is none here, or it is ending already.
  bool stop(std::string_view id, const std::string &reason) {
    for (const auto &item : items_)
      if (item.ask && item.stop && item.ask().id == id) {
        const auto stop = item.stop;
        stop(reason);
        return true;
      }
    return false;
  }
  /// All of them, in the order of their coming.
  std::vector<ConnectionState> snapshot() const {
    std::vector<ConnectionState> states;
    for (const auto &item : items_)
      if (item.ask) states.push_back(item.ask());
    return states;
  }
  std::size_t count() const { return items_.size(); }

private:
  std::list<Item> items_;
};

} // namespace shim

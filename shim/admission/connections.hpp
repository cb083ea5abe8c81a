// The connections that live on one worker thread, so that a shutdown can end each of them properly.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <utility>

namespace shim {

/// Not thread-safe: lives on its worker's thread.
class Connections {
public:
  using Stop = std::function<void(const std::string &reason)>;

  /// One connection's entry; leaves the list when it goes. Its `stop` may be replaced as the connection
  /// moves on from login to relay.
  class Entry {
  public:
    explicit Entry(Connections &owner)
        : owner_(&owner), place_(owner.stops_.insert(owner.stops_.end(), nullptr)) {}
    Entry(Entry &&other) noexcept : owner_(std::exchange(other.owner_, nullptr)), place_(other.place_) {}
    Entry &operator=(Entry &&) = delete;
    ~Entry() {
      if (owner_) owner_->stops_.erase(place_);
    }
    void on_stop(Stop stop) { *place_ = std::move(stop); }

  private:
    Connections *owner_;
    std::list<Stop>::iterator place_;
  };

  void stop_all(const std::string &reason) {
    auto stops = stops_; // a stop may take its entry out of the list
    for (auto &stop : stops)
      if (stop) stop(reason);
  }
  std::size_t count() const { return stops_.size(); }

private:
  std::list<Stop> stops_;
};

} // namespace shim

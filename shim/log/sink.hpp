// What takes the records of decisions: the log of the process, or whatever else reads them.
#pragma once

#include "shim/log/event.hpp"

namespace shim {

/// Thread-safe, and never waits.
class Sink {
public:
  virtual ~Sink() = default;
  /// False: there is no room, and the record is lost.
  virtual bool write(const Record &record) = 0;
  /// Whether there is room for all that a new login may write.
  virtual bool has_room() const { return true; }
  /// Whether it wants debug kinds.
  virtual bool debug() const { return true; }

  /// An event without a connection.
  void emit(Event event);
};

/// Gives each record to several. The first one decides: what it has no room for is lost, whatever the others
/// made of it, and it says whether debug kinds are wanted. All of them outlive it.
class Sinks final : public Sink {
public:
  explicit Sinks(Sink &first) : first_(first) {}
  /// Before any record is written.
  void add(Sink &other) { others_.push_back(&other); }

  bool write(const Record &record) override;
  bool has_room() const override { return first_.has_room(); }
  bool debug() const override { return first_.debug(); }

private:
  Sink &first_;
  std::vector<Sink *> others_;
};

} // namespace shim

#include "shim/log/sink.hpp"

namespace shim {

void Sink::emit(Event event) {
  write(Record{.at = std::chrono::system_clock::now(),
               .conn = {},
               .seq = 0,
               .since_accept = {},
               .event = std::move(event)});
}

bool Sinks::write(const Record &record) {
  const bool taken = first_.write(record);
  for (auto *other : others_)
    other->write(record);
  return taken;
}

} // namespace shim

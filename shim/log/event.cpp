#include "shim/log/event.hpp"

namespace shim {

Event::Event() = default;
Event::Event(const Event &) = default;
Event::Event(Event &&) noexcept = default;
Event &Event::operator=(const Event &) = default;
Event &Event::operator=(Event &&) noexcept = default;
Event::~Event() = default;

std::string_view spelled(const SpnAnswer &answer) {
  if (const auto *kind = std::get_if<auth::Kind>(&answer.is)) return spelling(*kind);
  if (const auto *cause = std::get_if<Cause>(&answer.is)) return id(*cause);
  return {};
}

} // namespace shim

#include "shim/names/browsers.hpp"

#include "auth/host_name.hpp"
#include "auth/name.hpp"

#include <algorithm>

namespace shim {

Browsers::Key Browsers::key(const std::string &host, const std::string &instance) {
  return {auth::plain_name(host), auth::lower(instance)};
}

std::optional<InstancePort> Browsers::find(const std::string &host, const std::string &instance,
                                           Clock::time_point now) const {
  std::lock_guard lock(mutex_);
  const auto entry = entries_.find(key(host, instance));
  if (entry == entries_.end() || !entry->second.counts || now - entry->second.found >= life)
    return std::nullopt;
  return entry->second.known;
}

InstancePort Browsers::put(const std::string &host, const std::string &instance, std::uint16_t port,
                           Clock::time_point now) {
  std::lock_guard lock(mutex_);
  auto [entry, fresh] = entries_.try_emplace(key(host, instance), Entry{{port, 0}, now});
  auto &[known, found, counts] = entry->second;
  if (known.port != port) known = {port, known.port};
  found = now;
  counts = true;
  const auto told = known;
  if (entries_.size() > most) // never the one that was just found, unless all are from this moment
    entries_.erase(std::ranges::min_element(entries_, {}, [](const auto &one) { return one.second.found; }));
  return told;
}

void Browsers::flush(const std::string &host, const std::string &instance) {
  std::lock_guard lock(mutex_);
  if (const auto entry = entries_.find(key(host, instance)); entry != entries_.end())
    entry->second.counts = false;
}

void Browsers::forget() {
  std::lock_guard lock(mutex_);
  for (auto &[key, entry] : entries_)
    entry.counts = false;
}

std::size_t Browsers::size() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

} // namespace shim

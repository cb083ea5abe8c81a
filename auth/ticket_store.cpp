#include "auth/ticket_store.hpp"

namespace auth {

TicketStore::Found TicketStore::lookup(const TicketKey &key, Time now, std::chrono::seconds margin) const {
  const std::scoped_lock lock(mutex_);
  const auto entry = tickets_.find(key);
  if (entry == tickets_.end()) return {};
  const Ticket &ticket = *entry->second;
  if (ticket.expires <= now + margin) return {};
  const Time half = ticket.starts + (ticket.expires - ticket.starts) / 2;
  return {.ticket = entry->second, .renew = now >= half};
}

void TicketStore::put(const TicketKey &key, TicketPtr ticket) {
  // The replaced ticket may be the last reference to its bytes: it is wiped and freed after the lock.
  const std::scoped_lock lock(mutex_);
  if (ticket) tickets_[key].swap(ticket);
}

void TicketStore::drop(const TicketKey &key, const TicketPtr &ticket) {
  const std::scoped_lock lock(mutex_);
  const auto entry = tickets_.find(key);
  if (entry != tickets_.end() && entry->second == ticket) tickets_.erase(entry);
}

void TicketStore::clear() {
  std::map<TicketKey, TicketPtr> old; // freed after the lock
  const std::scoped_lock lock(mutex_);
  tickets_.swap(old);
}

std::size_t TicketStore::size() const {
  const std::scoped_lock lock(mutex_);
  return tickets_.size();
}

} // namespace auth

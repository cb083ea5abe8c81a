#include "shim/admission/limits.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <new>
#include <sys/mman.h>

namespace shim {
namespace {

constexpr std::size_t reserve_size = 8 * 1024 * 1024;
constexpr std::size_t enough_for_a_login = 16 * 1024 * 1024; // far more than one takes: others are under way

std::atomic<void *> reserve = nullptr; // untouched: address space alone
std::atomic<bool> reserve_used = false;

} // namespace

Quota::Place &Quota::Place::operator=(Place &&other) noexcept {
  if (this == &other) return *this;
  give_back();
  owner_ = std::exchange(other.owner_, nullptr);
  key_ = other.key_;
  return *this;
}

void Quota::Place::give_back() {
  if (!owner_) return;
  std::lock_guard lock(owner_->mutex_);
  auto entry = owner_->taken_.find(key_);
  if (--entry->second == 0) owner_->taken_.erase(entry); // keys are uids: none may stay behind
  owner_ = nullptr;
}

Quota::Place Quota::take(std::uint64_t key) {
  std::lock_guard lock(mutex_);
  auto &taken = taken_[key];
  if (taken >= limit_) return {};
  ++taken;
  return {*this, key};
}

std::size_t Quota::taken(std::uint64_t key) const {
  std::lock_guard lock(mutex_);
  auto entry = taken_.find(key);
  return entry == taken_.end() ? 0 : entry->second;
}

std::optional<Admission> Limits::admit(std::uint64_t listener, const std::string &name) {
  Admission admission;
  admission.connection = connections_.take();
  if (!admission.connection)
    return turn_down(
        fmt::format("{0} connections are open; [limits] connections = {0}", connections_.limit()));
  admission.handshake = handshakes_.take(listener);
  if (!admission.handshake)
    return turn_down(fmt::format("{0} logins are under way on listener {1}; [limits] handshakes = {0}",
                                 handshakes_.limit(), name));
  return admission;
}

std::optional<Admission> Limits::turn_down(std::string reason) {
  Admission admission;
  admission.farewell = farewells_.take();
  if (!admission.farewell) return std::nullopt;
  admission.refused = std::move(reason);
  return admission;
}

void Limits::turned_away() {
  if (turned_away_.fetch_add(1) == 0 && tell_) tell_();
}

std::expected<Quota::Place, std::string> Limits::admit_user(uid_t uid) {
  auto place = handshakes_per_uid_.take(uid);
  if (place) return place;
  return std::unexpected(fmt::format("{0} logins of uid {1} are under way; [limits] handshakes_per_uid = {0}",
                                     handshakes_per_uid_.limit(), uid));
}

void keep_memory_in_reserve() {
  reserve = std::malloc(reserve_size);
  std::set_new_handler([] {
    void *given = reserve.exchange(nullptr);
    if (!given) throw std::bad_alloc();
    reserve_used = true;
    std::free(given); // and operator new tries again
  });
}

bool has_memory() {
  if (reserve_used) {
    void *again = std::malloc(reserve_size);
    if (!again) return false;
    reserve_used = false;
    reserve = again;
  }
  void *memory =
      ::mmap(nullptr, enough_for_a_login, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  ::munmap(memory, enough_for_a_login);
  return true;
}

std::size_t connections_for(std::uint64_t descriptors) {
  constexpr std::uint64_t each = 2; // the client's and the server's
  constexpr std::uint64_t others = 64 + Limits::most_farewells;
  return static_cast<std::size_t>(
      std::max<std::uint64_t>(descriptors > others ? (descriptors - others) / each : 0, 1));
}

} // namespace shim

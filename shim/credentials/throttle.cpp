#include "shim/credentials/throttle.hpp"

namespace shim {

std::optional<std::chrono::seconds> Throttle::shut(const auth::Identity &identity) {
  const auto now = now_();
  const bool may_be_mended = identity.spec().source != auth::Source::client_password;
  std::lock_guard lock(mutex_);
  const auto found = refusals_.find(identity.principal());
  if (found == refusals_.end()) return std::nullopt;
  auto &refusals = found->second;
  std::erase_if(refusals, [&](const Refusal &refusal) {
    return refusal.at + within <= now || (may_be_mended && refusal.identity == identity.spec().name &&
                                          refusal.fingerprint != identity.fingerprint());
  });
  if (refusals.empty())
    refusals_.erase(found);
  else if (refusals.size() >= most)
    return std::chrono::ceil<std::chrono::seconds>(refusals[refusals.size() - most].at + within - now);
  return std::nullopt;
}

void Throttle::refused(const auth::Identity &identity) {
  const auto now = now_();
  std::lock_guard lock(mutex_);
  refusals_[identity.principal()].push_back({now, identity.spec().name, identity.fingerprint()});
  good_.erase(identity.principal());
}

void Throttle::good(const auth::Identity &identity) {
  std::lock_guard lock(mutex_);
  good_[identity.principal()] = identity.fingerprint();
}

bool Throttle::is_good(const auth::Identity &identity) {
  std::lock_guard lock(mutex_);
  const auto found = good_.find(identity.principal());
  return found != good_.end() && found->second == identity.fingerprint();
}

void Throttle::forget() {
  std::lock_guard lock(mutex_);
  refusals_.clear();
  good_.clear();
}

} // namespace shim

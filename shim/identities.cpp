#include "shim/identities.hpp"

#include <filesystem>
#include <sys/stat.h>

namespace shim {
namespace {

auth::IdentitySpec to_spec(const config::Identity &wanted) {
  auth::Source source = auth::Source::keytab;
  if (wanted.kind == config::IdentityKind::ccache) source = auth::Source::ccache;
  if (wanted.kind == config::IdentityKind::password_file) source = auth::Source::password_file;
  return {wanted.name, source, wanted.source, wanted.principal};
}

constexpr auto nearly_over = std::chrono::minutes(2);

std::string stamp_of(const std::string &path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  return std::to_string(info.st_ino) + "." + std::to_string(info.st_size) + "." + std::to_string(info.st_mtim.tv_sec) +
         "." + std::to_string(info.st_mtim.tv_nsec);
}

/// Of all caches of a DIR collection, and of the file that says which is the primary one.
std::string stamp_of_folder(const std::string &path) {
  constexpr std::size_t most = 1000; // files; a folder with more is no collection that we could watch
  std::map<std::string, std::string> stamps;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    auto name = entry->path().filename().string();
    if (name != "primary" && !name.starts_with("tkt")) continue;
    stamps[name] = stamp_of(entry->path().string());
    if (stamps.size() > most) return "";
  }
  std::string stamp;
  for (const auto &[name, one] : stamps)
    stamp += name + "=" + one + " ";
  return stamp;
}

/// What tells that a source has changed: empty where that cannot be told (a ccache in no file, a file that is not there).
std::string stamp_of(const config::Identity &wanted) {
  std::string path = wanted.source;
  for (std::string_view prefix : {"FILE:", "WRFILE:", "DIR::"})
    if (path.starts_with(prefix)) return stamp_of(path.substr(prefix.size()));
  if (path.starts_with("DIR:")) return stamp_of_folder(path.substr(4));
  return path.find(':') < path.find('/') ? "" : stamp_of(path);
}

} // namespace

std::string LoadedIdentity::store_name() const { return identity->spec().name + "#" + std::to_string(generation); }

bool Identities::is_fresh(const Entry &entry, const std::string &stamp) const {
  if (!entry.loaded) return false;
  if (!stamp.empty()) return entry.stamp == stamp;
  auto expires = entry.loaded->identity->expires();
  // Only a cache may be where no file can be looked at; a file that is gone shall be noticed at once.
  return expires && entry.stamp.empty() && *expires > std::chrono::system_clock::now() + nearly_over &&
         std::chrono::steady_clock::now() < entry.read + reread_;
}

auth::Result<LoadedIdentity> Identities::load(const config::Identity &wanted) {
  auto stamp = stamp_of(wanted);
  {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(wanted.name);
    if (found != entries_.end() && is_fresh(found->second, stamp)) return found->second.loaded;
  }
  auto identity = auth::load_identity(to_spec(wanted), krb5_config_);
  std::lock_guard lock(mutex_);
  auto &entry = entries_[wanted.name];
  entry.stamp = stamp;
  entry.read = std::chrono::steady_clock::now();
  if (!identity)
    entry.loaded = std::unexpected(identity.error());
  else if (const auto &before = entry.loaded; !before || before->identity->principal() != (*identity)->principal() ||
                                              before->identity->fingerprint() != (*identity)->fingerprint())
    entry.loaded = LoadedIdentity{std::move(*identity), ++generations_};
  return entry.loaded;
}

Task<auth::Result<LoadedIdentity>> Identities::get(const config::Identity &wanted, Millis limit) {
  auto loaded = co_await on_pool(pool_, [this, wanted] { return load(wanted); }, limit);
  if (loaded) co_return std::move(*loaded);
  auth::Error late;
  late.kind = auth::Kind::no_credentials;
  late.text = wanted.source + " could not be read within " + std::to_string(limit.count()) + " ms";
  co_return std::unexpected(std::move(late));
}

} // namespace shim

#include "shim/identities.hpp"

#include <sys/stat.h>

namespace shim {
namespace {

auth::IdentitySpec to_spec(const config::Identity &wanted) {
  auth::Source source = auth::Source::keytab;
  if (wanted.kind == config::IdentityKind::ccache) source = auth::Source::ccache;
  if (wanted.kind == config::IdentityKind::password_file) source = auth::Source::password_file;
  return {wanted.name, source, wanted.source, wanted.principal};
}

/// What tells that a source has changed: empty where that cannot be told (a ccache that is no file, a file that is not there).
std::string stamp_of(const config::Identity &wanted) {
  std::string path = wanted.source;
  for (std::string_view prefix : {"FILE:", "WRFILE:"})
    if (path.starts_with(prefix)) path.erase(0, prefix.size());
  struct stat info{};
  if (path.find(':') != std::string::npos || ::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  return std::to_string(info.st_ino) + "." + std::to_string(info.st_size) + "." + std::to_string(info.st_mtim.tv_sec) +
         "." + std::to_string(info.st_mtim.tv_nsec);
}

} // namespace

std::string LoadedIdentity::store_name() const { return identity->spec().name + "#" + std::to_string(generation); }

auth::Result<LoadedIdentity> Identities::load(const config::Identity &wanted) {
  auto stamp = stamp_of(wanted);
  {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(wanted.name);
    if (found != entries_.end() && found->second.loaded && !stamp.empty() && found->second.stamp == stamp)
      return found->second.loaded;
  }
  auto identity = auth::load_identity(to_spec(wanted), krb5_config_);
  std::lock_guard lock(mutex_);
  auto &entry = entries_[wanted.name];
  entry.stamp = stamp;
  if (identity)
    entry.loaded = LoadedIdentity{std::move(*identity), ++generations_};
  else
    entry.loaded = std::unexpected(identity.error());
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

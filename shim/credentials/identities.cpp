#include "shim/credentials/identities.hpp"

#include "shim/credentials/credentials.hpp"

#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace shim {
namespace {

auth::IdentitySpec to_spec(const config::Identity &wanted) {
  auth::Source source = auth::Source::keytab;
  if (wanted.kind == config::IdentityKind::ccache) source = auth::Source::ccache;
  if (wanted.kind == config::IdentityKind::password_file) source = auth::Source::password_file;
  return {wanted.name, source, wanted.source, wanted.principal};
}

auth::Error no_credentials(std::string text) {
  auth::Error error;
  error.kind = auth::Kind::no_credentials;
  error.text = std::move(text);
  return error;
}

constexpr auto nearly_over = std::chrono::minutes(2);

std::string stamp_of(const std::string &path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  return std::to_string(info.st_ino) + "." + std::to_string(info.st_size) + "." +
         std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
}

/// Of a file that another user may have put there: what makes it acceptable counts,
/// and a link is not followed.
std::string stamp_of_foreign(const std::string &path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  return stamp_of(path) + "." + std::to_string(info.st_uid) + "." + std::to_string(info.st_mode) + "." +
         std::to_string(info.st_nlink);
}

/// Of all caches of a DIR collection, and of the file that says which is the primary one.
std::string stamp_of_folder(const std::string &path) {
  constexpr std::size_t most = 1000; // files; a folder with more is no collection that we could watch
  std::map<std::string, std::string> stamps;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
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

/// What tells that a source has changed: empty where that cannot be told (a ccache in no file,
/// a file that is not there).
std::string stamp_of(const auth::IdentitySpec &wanted) {
  const std::string &path = wanted.path;
  if (wanted.source == auth::Source::caller_ccache)
    return stamp_of_foreign(path.starts_with("FILE:") ? path.substr(5) : path);
  for (std::string_view prefix : {"FILE:", "WRFILE:", "DIR::"})
    if (path.starts_with(prefix)) return stamp_of(path.substr(prefix.size()));
  if (path.starts_with("DIR:")) return stamp_of_folder(path.substr(4));
  return path.find(':') < path.find('/') ? "" : stamp_of(path);
}

} // namespace

std::string LoadedIdentity::store_name() const {
  return identity->spec().name + (of.empty() ? "" : "/" + of) + "#" + std::to_string(generation);
}

bool Identities::is_fresh(const Entry &entry, const std::string &stamp) const {
  if (!entry.loaded) return false;
  if (!stamp.empty()) return entry.stamp == stamp;
  auto expires = entry.loaded->identity->expires();
  // Only a cache may be where no file can be looked at; a file that is gone shall be noticed at once.
  return expires && entry.stamp.empty() && *expires > std::chrono::system_clock::now() + nearly_over &&
         std::chrono::steady_clock::now() < entry.read + reread_;
}

auth::Result<LoadedIdentity> Identities::load(const auth::IdentitySpec &spec, const std::string &of) {
  const auto name = of.empty() ? spec.name : spec.name + "/" + of;
  auto stamp = stamp_of(spec);
  {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(name);
    if (found != entries_.end() && is_fresh(found->second, stamp)) return found->second.loaded;
  }
  auto identity = auth::load_identity(spec, krb5_config_);
  std::lock_guard lock(mutex_);
  auto &entry = entries_[name];
  entry.stamp = stamp;
  entry.read = std::chrono::steady_clock::now();
  if (!identity)
    entry.loaded = std::unexpected(identity.error());
  else if (const auto &before = entry.loaded; !before ||
                                              before->identity->principal() != (*identity)->principal() ||
                                              before->identity->fingerprint() != (*identity)->fingerprint())
    entry.loaded = LoadedIdentity{std::move(*identity), ++generations_, of};
  return entry.loaded;
}

auth::Result<LoadedIdentity> Identities::make(const auth::IdentitySpec &spec, const tds::Secret &password) {
  const auto text = tds::to_utf8(password);
  if (!text) return std::unexpected(no_credentials("the password of the client's login is no text"));
  const auto bytes = text->reveal();
  auto identity =
      auth::load_identity(spec, {reinterpret_cast<const char *>(bytes.data()), bytes.size()}, krb5_config_);
  if (!identity) return std::unexpected(identity.error());
  std::lock_guard lock(mutex_);
  const auto number = ++generations_;
  return LoadedIdentity{std::move(*identity), number, "login " + std::to_string(number), true};
}

Task<auth::Result<LoadedIdentity>> Identities::get(auth::IdentitySpec spec, std::string of, Millis limit) {
  auto loaded = co_await on_pool(
      pool_, [this, spec, of] { return load(spec, of); }, limit);
  if (loaded) co_return std::move(*loaded);
  co_return std::unexpected(
      no_credentials(spec.path + " could not be read within " + std::to_string(limit.count()) + " ms"));
}

Task<auth::Result<LoadedIdentity>> Identities::get(const config::Identity &wanted, Millis limit) {
  return get(to_spec(wanted), "", limit);
}

Task<auth::Result<LoadedIdentity>> Identities::of_caller(const config::Identity &wanted, uid_t caller,
                                                         Millis limit) {
  auto spec = caller_ccache(wanted, caller, ::geteuid());
  if (!spec) co_return std::unexpected(no_credentials(std::move(spec.error())));
  co_return co_await get(std::move(*spec), "uid " + std::to_string(caller), limit);
}

Task<auth::Result<LoadedIdentity>> Identities::of_client(const config::Identity &wanted,
                                                         std::string principal, tds::Secret password,
                                                         Millis limit) {
  auth::IdentitySpec spec{wanted.name, auth::Source::client_password, "", std::move(principal)};
  auto made = co_await on_pool(
      pool_, [this, spec, password = std::move(password)] { return make(spec, password); }, limit);
  if (made) co_return std::move(*made);
  co_return std::unexpected(
      no_credentials("krb5.conf could not be read within " + std::to_string(limit.count()) + " ms"));
}

} // namespace shim

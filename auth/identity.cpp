#include "auth/identity.hpp"

#include "auth/identity_loader.hpp"

#include <algorithm>
#include <functional>
#include <unistd.h>

namespace auth {

std::string_view to_string(Source source) {
  switch (source) {
  case Source::keytab:
    return "keytab";
  case Source::ccache:
    return "ccache";
  case Source::password_file:
    return "password-file";
  case Source::client_password:
    return "client-password";
  case Source::caller_ccache:
    return "caller-ccache";
  }
  return "keytab";
}

std::string uid_text() { return "uid " + std::to_string(geteuid()); }

std::string listed(const std::vector<std::string> &names) {
  if (names.empty()) return "none at all";
  constexpr std::size_t shown = 5;
  std::string text = names.size() == 1 ? "only " : "";
  for (std::size_t i = 0; i < std::min(names.size(), shown); ++i)
    text += (i ? ", " : "") + names[i];
  if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

Result<> IdentityLoader::read_source() {
  switch (spec().source) {
  case Source::keytab:
    return load_keytab();
  case Source::ccache:
    return load_ccache();
  case Source::password_file:
    return load_password_file();
  case Source::client_password:
    break;
  case Source::caller_ccache:
    return load_caller_ccache();
  }
  return std::unexpected(
      make_error(Kind::no_credentials, "identity " + spec().name + ": no password was given"));
}

Result<std::shared_ptr<const Identity>> IdentityLoader::load() {
  if (auto named = parse_principal(); !named) return std::unexpected(std::move(named.error()));
  if (auto read = read_source(); !read) return std::unexpected(std::move(read.error()));
  return finished();
}

Result<std::shared_ptr<const Identity>> IdentityLoader::load(std::string_view password) {
  if (auto named = parse_principal(); !named) return std::unexpected(std::move(named.error()));
  if (auto taken = take_password(password); !taken) return std::unexpected(std::move(taken.error()));
  return finished();
}

std::shared_ptr<const Identity> IdentityLoader::finished() {
  made_->principal_ = unparse(context_, wanted_.get());
  made_->realm_.assign(wanted_->realm.data, wanted_->realm.length);
  return made_;
}

void IdentityLoader::mix(std::string_view bytes) {
  auto &fingerprint = made_->fingerprint_;
  fingerprint = fingerprint * 1099511628211u ^ std::hash<std::string_view>{}(bytes);
}

Result<> IdentityLoader::parse_principal() {
  if (spec().principal.empty()) {
    if (spec().source == Source::ccache || spec().source == Source::caller_ccache) return {};
    return std::unexpected(make_error(Kind::no_credentials, "identity " + spec().name + ": a " +
                                                                std::string(to_string(spec().source)) +
                                                                " needs a principal"));
  }
  // libkrb5 completes a name without a realm by default_realm.
  const auto code = krb5_parse_name(context_, spec().principal.c_str(), wanted_.out());
  if (code == 0) return {};
  Error error = library_error(context_, code, "principal " + spec().principal + ": ");
  error.kind = code == KRB5_CONFIG_NODEFREALM ? Kind::realm_unknown : Kind::malformed;
  return std::unexpected(std::move(error));
}

Result<std::shared_ptr<const Identity>> load_identity(const IdentitySpec &spec,
                                                      const std::string &config_path) {
  auto context = make_context(config_path);
  if (!context) return std::unexpected(context.error());
  return IdentityLoader(spec, std::move(*context)).load();
}

Result<std::shared_ptr<const Identity>> load_identity(const IdentitySpec &spec, std::string_view password,
                                                      const std::string &config_path) {
  auto context = make_context(config_path);
  if (!context) return std::unexpected(context.error());
  return IdentityLoader(spec, std::move(*context)).load(password);
}

} // namespace auth

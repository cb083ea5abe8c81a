#include "shim/transport/tls_contexts.hpp"

#include "auth/host_name.hpp"
#include "shim/transport/certificate.hpp"

#include <fmt/format.h>

namespace shim {

std::string TlsContexts::key_of(const config::Listener &listener) {
  return "accept " + listener.certificate.string() + "\n" + listener.key.string();
}

std::string TlsContexts::key_of(const config::Route &route) {
  return fmt::format("connect {} {} {}", route.trust_server_certificate, config::to_string(route.tls_min),
                     route.ca_file.string());
}

TlsContexts::TlsContexts(std::shared_ptr<const config::Config> config, std::function<void(std::string)> say)
    : config_(std::move(config)), say_(std::move(say)) {
  reload();
}

void TlsContexts::reload() {
  std::map<std::string, bool> done;
  for (const auto &listener : config_->listeners)
    if (listener.tls != config::ListenerTls::off && !std::exchange(done[key_of(listener)], true))
      keep(key_of(listener), make(listener));
  for (const auto &route : config_->routes)
    if (route.encrypt != config::Encrypt::off && !std::exchange(done[key_of(route)], true))
      keep(key_of(route), make(route));
}

void TlsContexts::keep(const std::string &key, Context made) {
  if (!made && say_) say_(made.error());
  std::lock_guard lock(mutex_);
  auto &place = contexts_.try_emplace(key, std::unexpected("not read yet")).first->second;
  if (made || !place) place = std::move(made);
}

TlsContexts::Context TlsContexts::make(const config::Listener &listener) const {
  ServerTlsOptions options{listener.certificate, listener.key};
  if (listener.certificate.empty()) {
    auto own = own_certificate(config_->state.directory);
    if (!own)
      return std::unexpected(
          fmt::format("listener {}: no certificate, and none can be made: {}; give it certificate and key, "
                      "or a [state] directory that can be written",
                      listener.name, own.error()));
    if (own->made && say_)
      say_(fmt::format(
          "listener {}: made the certificate {} (SHA-256 {}); sqlshim check tells how applications trust it",
          listener.name, own->certificate.string(), own->fingerprint));
    options = {own->certificate, own->key};
  }
  auto context = make_accepting_tls(options);
  if (!context) return std::unexpected(fmt::format("listener {}: {}", listener.name, context.error()));
  return context;
}

TlsContexts::Context TlsContexts::make(const config::Route &route) {
  auto context = make_connecting_tls({.ca_file = route.ca_file,
                                      .verify = !route.trust_server_certificate,
                                      .tls10 = route.tls_min == config::TlsMin::tls_1_0});
  if (!context) return std::unexpected(fmt::format("route {}: {}", route.name, context.error()));
  return context;
}

TlsContexts::Context TlsContexts::find(const std::string &key) const {
  std::lock_guard lock(mutex_);
  const auto found = contexts_.find(key);
  return found == contexts_.end() ? std::unexpected("not read") : found->second;
}

TlsContexts::Context TlsContexts::accepting(const config::Listener &listener) const {
  return find(key_of(listener));
}

TlsContexts::Context TlsContexts::connecting(const config::Route &route) const {
  const auto key = key_of(route);
  {
    std::lock_guard lock(mutex_);
    if (const auto found = contexts_.find(key); found != contexts_.end()) return found->second;
  }
  return make(route);
}

std::vector<std::string> certificate_names(const config::Route &route, const auth::Target &target,
                                           const std::vector<std::string> &search, bool own) {
  if (own && !route.host_name_in_certificate.empty()) return {route.host_name_in_certificate};
  auto host = auth::lower(target.host);
  if (host.ends_with('.')) host.pop_back();
  std::vector<std::string> names{host};
  if (!target.is_address && !host.contains('.'))
    for (const auto &suffix : search)
      names.push_back(host + "." + auth::lower(suffix.starts_with('.') ? suffix.substr(1) : suffix));
  return names;
}

} // namespace shim

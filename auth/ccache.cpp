#include "auth/identity_loader.hpp"

#include <cerrno>
#include <cstring>
#include <profile.h>
#include <unistd.h>

namespace auth {
namespace {

/// "DIR" of "DIR:/run/…"; "FILE" for a plain path.
std::string_view ccache_type(std::string_view name) {
  const auto colon = name.find(':');
  return colon == name.npos || name.find('/') < colon ? "FILE" : name.substr(0, colon);
}

/// Where libkrb5 looks for the service that keeps KCM caches.
std::string kcm_socket(krb5_context context) {
  constexpr const char *built_in = "/var/run/.heim_org.h5l.kcm-socket";
  profile_t profile = nullptr;
  char *value = nullptr;
  if (krb5_get_profile(context, &profile) != 0) return built_in;
  std::string path = built_in;
  if (profile_get_string(profile, "libdefaults", "kcm_socket", nullptr, built_in, &value) == 0 && value) {
    path = value;
    profile_release_string(value);
  }
  profile_release(profile);
  return path;
}

} // namespace

std::unexpected<Error> IdentityLoader::ccache_error(krb5_error_code code, const std::string &what) const {
  Error error = library_error(context_, code, what + " (read as " + uid_text() + "): ");
  error.kind = code == KRB5_CC_FORMAT || code == KRB5_CCACHE_BADVNO ? Kind::malformed : Kind::no_credentials;
  // libkrb5 adds the name of the file that it was given.
  if (const auto at = copy_.empty() ? std::string::npos : error.text.find(copy_.substr(5));
      at != std::string::npos)
    error.text.replace(at, copy_.size() - 5, spec().path);
  if (ccache_type(spec().path) != "KCM") return std::unexpected(std::move(error));
  error.text += "; KCM caches are kept by a service, ";
  if (code == KRB5_FCC_NOFILE || code == KRB5_CC_NOTFOUND)
    error.text += "which answers on " + kcm_socket(context_) + ": kinit as " + uid_text();
  else
    error.text +=
        "which does not answer on " + kcm_socket(context_) +
        " (kcm_socket in krb5.conf): is sssd-kcm installed and sssd-kcm.socket started (systemctl status "
        "sssd-kcm.socket)?";
  return std::unexpected(std::move(error));
}

std::string IdentityLoader::name_of(krb5_ccache ccache) const {
  if (!copy_.empty()) return spec().path; // its copy has a name that says nothing to anybody
  return std::string(krb5_cc_get_type(context_, ccache)) + ":" + krb5_cc_get_name(context_, ccache);
}

Result<> IdentityLoader::load_ccache() {
  const std::string what = "credential cache " + spec().path;
  if (ccache_type(spec().path) == "DIR") {
    // libkrb5 would make the folder, and a file named "primary" in it.
    const std::string folder = spec().path.substr(4);
    if (!folder.starts_with(':') && access(folder.c_str(), R_OK | X_OK) != 0)
      return std::unexpected(make_error(
          Kind::no_credentials, what + " (read as " + uid_text() + "): " + std::strerror(errno), errno));
  }
  const bool collection = krb5_cc_support_switch(context_, std::string(ccache_type(spec().path)).c_str());
  if (auto loaded = wanted_.get() && collection ? load_from_collection() : load_one_cache(what); !loaded)
    return loaded;

  const std::string name = unparse(context_, wanted_.get());
  if (!made_->tgt_)
    return std::unexpected(
        make_error(Kind::no_credentials,
                   what + " (read as " + uid_text() + ") holds no ticket-granting ticket of " + name,
                   rfc_number(KRB5_CC_NOTFOUND)));
  if (made_->tgt_->expires <= std::chrono::system_clock::now())
    return std::unexpected(make_error(Kind::ticket_expired,
                                      what + ": the ticket-granting ticket of " + name + " ended at " +
                                          utc_text(made_->tgt_->expires),
                                      32));
  mix(name);
  mix({reinterpret_cast<const char *>(made_->tgt_->credentials.data()), made_->tgt_->credentials.size()});
  return {};
}

Result<> IdentityLoader::load_one_cache(const std::string &what) {
  OpenCcache ccache(context_);
  if (const auto code = krb5_cc_resolve(context_, primary_name().c_str(), ccache.out()))
    return ccache_error(code, what);
  Principal owner(context_);
  if (const auto code = krb5_cc_get_principal(context_, ccache.get(), owner.out()))
    return ccache_error(code, "credential cache " + name_of(ccache.get()));
  if (wanted_.get() && !krb5_principal_compare(context_, owner.get(), wanted_.get()))
    return std::unexpected(make_error(Kind::no_credentials, what + " belongs to " +
                                                                unparse(context_, owner.get()) + ", not to " +
                                                                unparse(context_, wanted_.get())));
  if (!wanted_.get()) *wanted_.out() = owner.release();
  return take_tgt(ccache.get());
}

std::string IdentityLoader::primary_name() const {
  if (!copy_.empty()) return copy_;
  const std::string &name = spec().path;
  if (ccache_type(name) != "DIR" || name.starts_with("DIR::")) return name;
  const std::string folder = name.substr(4);
  return access((folder + "/primary").c_str(), F_OK) == 0 ? name : "DIR::" + folder + "/tkt";
}

Result<> IdentityLoader::load_from_collection() {
  const std::string what = "credential cache collection " + spec().path;
  // What a cursor walks through is what the context takes for its default.
  if (const auto code = krb5_cc_set_default_name(context_, spec().path.c_str()))
    return ccache_error(code, what);
  krb5_cccol_cursor cursor = nullptr;
  if (const auto code = krb5_cccol_cursor_new(context_, &cursor)) return ccache_error(code, what);
  struct End {
    krb5_context context;
    krb5_cccol_cursor &cursor;
    ~End() { krb5_cccol_cursor_free(context, &cursor); }
  } end{context_, cursor};

  bool found = false;
  std::vector<std::string> others;
  while (true) {
    OpenCcache ccache(context_);
    if (const auto code = krb5_cccol_cursor_next(context_, cursor, ccache.out()))
      return ccache_error(code, what);
    if (!ccache.get()) break;
    // It walks through other types, too: MEMORY has our own private ones.
    if (krb5_cc_get_type(context_, ccache.get()) != ccache_type(spec().path)) continue;
    Principal owner(context_);
    if (krb5_cc_get_principal(context_, ccache.get(), owner.out()))
      continue; // not initialised, or gone meanwhile
    if (!krb5_principal_compare(context_, owner.get(), wanted_.get())) {
      others.push_back(unparse(context_, owner.get()));
      continue;
    }
    found = true;
    if (auto taken = take_tgt(ccache.get()); !taken) return taken;
  }
  if (found) return {};
  // A service that is not there is no empty collection: opening the primary cache says so.
  OpenCcache primary(context_);
  Principal owner(context_);
  if (others.empty())
    if (const auto code = krb5_cc_resolve(context_, primary_name().c_str(), primary.out()))
      return ccache_error(code, what);
  if (others.empty())
    if (const auto code = krb5_cc_get_principal(context_, primary.get(), owner.out()))
      return ccache_error(code, what);
  return std::unexpected(make_error(Kind::no_credentials,
                                    what + " (read as " + uid_text() + ") holds no cache of " +
                                        unparse(context_, wanted_.get()) + "; it holds caches of " +
                                        listed(others),
                                    rfc_number(KRB5_CC_NOTFOUND)));
}

Result<> IdentityLoader::take_tgt(krb5_ccache ccache) {
  const std::string what = "credential cache " + name_of(ccache);
  Principal service(context_);
  const krb5_data &realm = wanted_->realm;
  if (const auto code =
          krb5_build_principal_ext(context_, service.out(), realm.length, realm.data, KRB5_TGS_NAME_SIZE,
                                   KRB5_TGS_NAME, realm.length, realm.data, 0))
    return ccache_error(code, what);
  Iteration<krb5_ccache, krb5_cc_cursor, krb5_cc_end_seq_get> entries(context_, ccache);
  if (const auto code = krb5_cc_start_seq_get(context_, ccache, entries.start())) {
    entries.not_started();
    return ccache_error(code, what);
  }
  while (true) {
    CredentialsValue entry(context_);
    const auto code = krb5_cc_next_cred(context_, ccache, entries.cursor(), entry.out());
    if (code == KRB5_CC_END) return {};
    if (code) return ccache_error(code, what);
    if (krb5_is_config_principal(context_, entry.get().server)) continue;
    if (!krb5_principal_compare(context_, entry.get().server, service.get())) continue;
    if (made_->tgt_ && made_->tgt_->expires >= to_time(entry.get().times.endtime)) continue;
    auto ticket = make_ticket(context_, entry.get());
    if (!ticket) return std::unexpected(std::move(ticket.error()));
    made_->tgt_ = std::move(*ticket);
  }
}

} // namespace auth

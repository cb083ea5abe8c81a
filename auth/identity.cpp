#include "auth/identity.hpp"

#include "auth/loaded_identity.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

namespace auth {

std::string_view to_string(Source source) {
  switch (source) {
  case Source::keytab:
    return "keytab";
  case Source::ccache:
    return "ccache";
  case Source::password_file:
    return "password-file";
  }
  return "keytab";
}

namespace {

Error fault(Kind kind, std::string text, std::int64_t code = 0) {
  return {.kind = kind, .code = code, .text = std::move(text), .said = {}, .server_time = {}};
}

std::string uid_text() { return "uid " + std::to_string(geteuid()); }

/// The names of an iteration over a keytab or a ccache, ended on every way out.
template <class Holder, class Cursor, auto End> class Iteration {
public:
  Iteration(krb5_context context, Holder holder) : context_(context), holder_(holder) {}
  Iteration(const Iteration &) = delete;
  Iteration &operator=(const Iteration &) = delete;
  ~Iteration() {
    if (started_) End(context_, holder_, &cursor_);
  }
  Cursor *start() {
    started_ = true;
    return &cursor_;
  }
  void not_started() { started_ = false; }
  Cursor *cursor() { return &cursor_; }

private:
  krb5_context context_;
  Holder holder_;
  Cursor cursor_{};
  bool started_ = false;
};

} // namespace

/// The loading of one identity: each function fills a part of it or says what is wrong.
class IdentityLoader {
public:
  IdentityLoader(const IdentitySpec &spec, Context context)
      : context_(context.get()), made_(std::make_shared<LoadedIdentity>(spec, std::move(context))), wanted_(context_) {}

  Result<std::shared_ptr<const Identity>> load() {
    if (auto error = parse_principal(); error.kind != Kind::ok) return std::unexpected(std::move(error));
    Error error = fault(Kind::ok, {});
    switch (spec().source) {
    case Source::keytab:
      error = load_keytab();
      break;
    case Source::ccache:
      error = load_ccache();
      break;
    case Source::password_file:
      error = load_password();
      break;
    }
    if (error.kind != Kind::ok) return std::unexpected(std::move(error));
    made_->principal_ = unparse(context_, wanted_.get());
    made_->realm_.assign(wanted_->realm.data, wanted_->realm.length);
    return made_;
  }

private:
  const IdentitySpec &spec() const { return made_->spec_; }

  Error parse_principal() {
    if (spec().principal.empty()) {
      if (spec().source == Source::ccache) return fault(Kind::ok, {});
      return fault(Kind::no_credentials,
                   "identity " + spec().name + ": a " + std::string(to_string(spec().source)) + " needs a principal");
    }
    // libkrb5 completes a name without a realm by default_realm.
    const auto code = krb5_parse_name(context_, spec().principal.c_str(), wanted_.out());
    if (code == 0) return fault(Kind::ok, {});
    Error error = library_error(context_, code, "principal " + spec().principal + ": ");
    error.kind = code == KRB5_CONFIG_NODEFREALM ? Kind::realm_unknown : Kind::malformed;
    return error;
  }

  Error load_keytab() {
    const std::string what = "keytab " + spec().path;
    const auto refuse = [&](krb5_error_code code) {
      Error error = library_error(context_, code, what + " (read as " + uid_text() + "): ");
      error.kind = code == KRB5_KEYTAB_BADVNO ? Kind::malformed : Kind::no_credentials;
      return error;
    };
    Keytab file(context_);
    if (const auto code = krb5_kt_resolve(context_, spec().path.c_str(), file.out())) return refuse(code);
    // A name of its own for each load: a reload must not change the keys under an exchange that still uses the old ones.
    static std::atomic<unsigned> serial{0};
    const std::string name = "MEMORY:sqlshim-" + std::to_string(++serial);
    if (const auto code = krb5_kt_resolve(context_, name.c_str(), made_->keytab_.out())) return refuse(code);

    const std::string principal = unparse(context_, wanted_.get());
    std::vector<std::string> others;
    bool found = false;
    {
      Iteration<krb5_keytab, krb5_kt_cursor, krb5_kt_end_seq_get> entries(context_, file.get());
      if (const auto code = krb5_kt_start_seq_get(context_, file.get(), entries.start())) {
        entries.not_started();
        return refuse(code);
      }
      while (true) {
        krb5_keytab_entry entry{};
        const auto code = krb5_kt_next_entry(context_, file.get(), &entry, entries.cursor());
        if (code == KRB5_KT_END) break;
        if (code) return refuse(code);
        const bool ours = krb5_principal_compare(context_, entry.principal, wanted_.get());
        krb5_error_code added = 0;
        if (ours) {
          added = krb5_kt_add_entry(context_, made_->keytab_.get(), &entry);
          found = true;
        } else if (std::string other = unparse(context_, entry.principal);
                   std::ranges::find(others, other) == others.end()) {
          others.push_back(std::move(other));
        }
        krb5_free_keytab_entry_contents(context_, &entry);
        if (added) return refuse(added);
      }
    }
    if (!found)
      return fault(Kind::no_credentials, what + " holds no key of " + principal + "; it holds " + listed(others),
                   rfc_number(KRB5_KT_NOTFOUND));
    made_->keytab_name_ = name;
    return fault(Kind::ok, {});
  }

  static std::string listed(const std::vector<std::string> &names) {
    if (names.empty()) return "none at all";
    constexpr std::size_t shown = 5;
    std::string text = names.size() == 1 ? "only " : "";
    for (std::size_t i = 0; i < std::min(names.size(), shown); ++i)
      text += (i ? ", " : "") + names[i];
    if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
    return text;
  }

  Error load_ccache() {
    std::string what = "credential cache " + spec().path;
    const auto refuse = [&](krb5_error_code code) {
      Error error = library_error(context_, code, what + " (read as " + uid_text() + "): ");
      error.kind = code == KRB5_CC_FORMAT || code == KRB5_CCACHE_BADVNO ? Kind::malformed : Kind::no_credentials;
      return error;
    };
    OpenCcache ccache(context_);
    if (const auto code = krb5_cc_resolve(context_, spec().path.c_str(), ccache.out())) return refuse(code);
    what = "credential cache " + std::string(krb5_cc_get_type(context_, ccache.get())) + ":" +
           krb5_cc_get_name(context_, ccache.get());
    Principal owner(context_);
    if (const auto code = krb5_cc_get_principal(context_, ccache.get(), owner.out())) return refuse(code);
    if (wanted_.get() && !krb5_principal_compare(context_, owner.get(), wanted_.get()))
      return fault(Kind::no_credentials, what + " belongs to " + unparse(context_, owner.get()) + ", not to " +
                                             unparse(context_, wanted_.get()));
    if (!wanted_.get()) *wanted_.out() = owner.release();

    // The TGT of the client's own realm; of several (a renewal may have been appended) the one that lasts longest.
    Principal service(context_);
    const krb5_data &realm = wanted_->realm;
    if (const auto code = krb5_build_principal_ext(context_, service.out(), realm.length, realm.data,
                                                   KRB5_TGS_NAME_SIZE, KRB5_TGS_NAME, realm.length, realm.data, 0))
      return refuse(code);
    {
      Iteration<krb5_ccache, krb5_cc_cursor, krb5_cc_end_seq_get> entries(context_, ccache.get());
      if (const auto code = krb5_cc_start_seq_get(context_, ccache.get(), entries.start())) {
        entries.not_started();
        return refuse(code);
      }
      while (true) {
        CredentialsValue entry(context_);
        const auto code = krb5_cc_next_cred(context_, ccache.get(), entries.cursor(), entry.out());
        if (code == KRB5_CC_END) break;
        if (code) return refuse(code);
        if (krb5_is_config_principal(context_, entry.get().server)) continue;
        if (!krb5_principal_compare(context_, entry.get().server, service.get())) continue;
        if (made_->tgt_ && made_->tgt_->expires >= to_time(entry.get().times.endtime)) continue;
        auto ticket = make_ticket(context_, entry.get());
        if (!ticket) return ticket.error();
        made_->tgt_ = std::move(*ticket);
      }
    }
    const std::string name = unparse(context_, wanted_.get());
    if (!made_->tgt_)
      return fault(Kind::no_credentials,
                   what + " (read as " + uid_text() + ") holds no ticket-granting ticket of " + name,
                   rfc_number(KRB5_CC_NOTFOUND));
    if (made_->tgt_->expires <= std::chrono::system_clock::now())
      return fault(Kind::ticket_expired,
                   what + ": the ticket-granting ticket of " + name + " ended at " + utc_text(made_->tgt_->expires),
                   32);
    return fault(Kind::ok, {});
  }

  Error load_password() {
    const std::string what = "password file " + spec().path;
    const auto refuse = [&](Kind kind, int code, const std::string &why) {
      return fault(kind, what + " (read as " + uid_text() + "): " + why, code);
    };
    const int file = open(spec().path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return refuse(Kind::no_credentials, errno, std::strerror(errno));
    Wiped &password = made_->password_;
    std::size_t size = 0;
    ssize_t got = 0;
    while (size < Wiped::capacity && (got = read(file, password.room() + size, Wiped::capacity - size)) > 0)
      size += static_cast<std::size_t>(got);
    const int code = got < 0 ? errno : 0;
    close(file);
    if (code) return refuse(Kind::no_credentials, code, std::strerror(code));

    const std::string_view all(password.room(), size);
    const auto end = all.find_first_of("\r\n");
    if (end == std::string_view::npos && size == Wiped::capacity)
      return refuse(Kind::malformed, 0,
                    "its first line is longer than " + std::to_string(Wiped::capacity - 1) + " bytes");
    const std::string_view line = all.substr(0, end);
    if (line.empty()) return refuse(Kind::no_credentials, 0, "its first line, which shall be the password, is empty");
    if (line.find('\0') != std::string_view::npos)
      return refuse(Kind::malformed, 0, "its first line holds a zero byte");
    password.shrink(line.size());
    return fault(Kind::ok, {});
  }

  krb5_context context_;
  std::shared_ptr<LoadedIdentity> made_;
  Principal wanted_; // declared last: given back while the context, which made_ owns, still stands
};

Result<std::shared_ptr<const Identity>> load_identity(const IdentitySpec &spec, const std::string &config_path) {
  auto context = make_context(config_path);
  if (!context) return std::unexpected(context.error());
  return IdentityLoader(spec, std::move(*context)).load();
}

} // namespace auth

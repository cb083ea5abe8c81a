#include "auth/identity.hpp"

#include "auth/loaded_identity.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <profile.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
  case Source::client_password:
    return "client-password";
  case Source::caller_ccache:
    return "caller-ccache";
  }
  return "keytab";
}

namespace {

Error fault(Kind kind, std::string text, std::int64_t code = 0) {
  return {.kind = kind, .code = code, .text = std::move(text), .said = {}, .server_time = {}};
}

/// Adds bytes to a fingerprint.
void mix(std::size_t &fingerprint, std::string_view bytes) {
  fingerprint = fingerprint * 1099511628211u ^ std::hash<std::string_view>{}(bytes);
}

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

std::string uid_text() { return "uid " + std::to_string(geteuid()); }

/// A descriptor that closes itself.
class Descriptor {
public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

private:
  int fd_;
};

/// Why a file that another user could have put there is not read; empty: it may be.
std::string why_not_taken(const struct stat &about, uid_t owner) {
  constexpr mode_t others = S_IRWXG | S_IRWXO;
  if (!S_ISREG(about.st_mode)) return "it is no regular file";
  if (about.st_uid != owner)
    return "it belongs to uid " + std::to_string(about.st_uid) + ", not to uid " + std::to_string(owner);
  if ((about.st_mode & others) != 0) return "others than its owner may use it; run chmod 0600";
  if (about.st_nlink != 1) return "it has " + std::to_string(about.st_nlink) + " links, and must have one";
  if (about.st_size > static_cast<off_t>(largest_ccache))
    return "it is larger than " + std::to_string(largest_ccache) + " bytes";
  return {};
}

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
      : context_(context.get()), made_(std::make_shared<LoadedIdentity>(spec, std::move(context))),
        wanted_(context_) {}

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
    case Source::client_password:
      error = fault(Kind::no_credentials, "identity " + spec().name + ": no password was given");
      break;
    case Source::caller_ccache:
      error = load_caller_ccache();
      break;
    }
    if (error.kind != Kind::ok) return std::unexpected(std::move(error));
    return finished();
  }

  Result<std::shared_ptr<const Identity>> load(std::string_view password) {
    if (auto error = parse_principal(); error.kind != Kind::ok) return std::unexpected(std::move(error));
    const auto refuse = [&](Kind kind, const std::string &why) {
      return std::unexpected(fault(kind, "the password of the client's login " + why));
    };
    if (password.empty()) return refuse(Kind::no_credentials, "is empty");
    if (password.size() >= Wiped::capacity)
      return refuse(Kind::malformed, "is longer than " + std::to_string(Wiped::capacity - 1) + " bytes");
    if (password.find('\0') != std::string_view::npos) return refuse(Kind::malformed, "holds a zero byte");
    std::ranges::copy(password, made_->password_.room());
    made_->password_.shrink(password.size());
    mix(made_->fingerprint_, password);
    return finished();
  }

private:
  std::shared_ptr<const Identity> finished() {
    made_->principal_ = unparse(context_, wanted_.get());
    made_->realm_.assign(wanted_->realm.data, wanted_->realm.length);
    return made_;
  }

  const IdentitySpec &spec() const { return made_->spec_; }

  Error parse_principal() {
    if (spec().principal.empty()) {
      if (spec().source == Source::ccache || spec().source == Source::caller_ccache)
        return fault(Kind::ok, {});
      return fault(Kind::no_credentials, "identity " + spec().name + ": a " +
                                             std::string(to_string(spec().source)) + " needs a principal");
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
    // A name of its own for each load: a reload must not change the keys under an exchange
    // that still uses the old ones.
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
          mix(made_->fingerprint_, {reinterpret_cast<const char *>(entry.key.contents), entry.key.length});
          mix(made_->fingerprint_, std::to_string(entry.vno) + "." + std::to_string(entry.key.enctype));
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
      return fault(Kind::no_credentials,
                   what + " holds no key of " + principal + "; it holds " + listed(others),
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

  /// What goes wrong with a cache, as an Error.
  Error ccache_error(krb5_error_code code, const std::string &what) const {
    Error error = library_error(context_, code, what + " (read as " + uid_text() + "): ");
    error.kind =
        code == KRB5_CC_FORMAT || code == KRB5_CCACHE_BADVNO ? Kind::malformed : Kind::no_credentials;
    // libkrb5 adds the name of the file that it was given.
    if (const auto at = copy_.empty() ? std::string::npos : error.text.find(copy_.substr(5));
        at != std::string::npos)
      error.text.replace(at, copy_.size() - 5, spec().path);
    if (ccache_type(spec().path) != "KCM") return error;
    error.text += "; KCM caches are kept by a service, ";
    if (code == KRB5_FCC_NOFILE || code == KRB5_CC_NOTFOUND)
      error.text += "which answers on " + kcm_socket(context_) + ": kinit as " + uid_text();
    else
      error.text +=
          "which does not answer on " + kcm_socket(context_) +
          " (kcm_socket in krb5.conf): is sssd-kcm installed and sssd-kcm.socket started (systemctl status "
          "sssd-kcm.socket)?";
    return error;
  }

  std::string name_of(krb5_ccache ccache) const {
    if (!copy_.empty()) return spec().path; // its copy has a name that says nothing to anybody
    return std::string(krb5_cc_get_type(context_, ccache)) + ":" + krb5_cc_get_name(context_, ccache);
  }

  Error load_ccache() {
    const std::string what = "credential cache " + spec().path;
    if (ccache_type(spec().path) == "DIR") {
      // libkrb5 would make the folder, and a file named "primary" in it.
      const std::string folder = spec().path.substr(4);
      if (!folder.starts_with(':') && access(folder.c_str(), R_OK | X_OK) != 0)
        return fault(Kind::no_credentials, what + " (read as " + uid_text() + "): " + std::strerror(errno),
                     errno);
    }
    const bool collection = krb5_cc_support_switch(context_, std::string(ccache_type(spec().path)).c_str());
    if (Error error = wanted_.get() && collection ? load_from_collection() : load_one_cache(what);
        error.kind != Kind::ok)
      return error;

    const std::string name = unparse(context_, wanted_.get());
    if (!made_->tgt_)
      return fault(Kind::no_credentials,
                   what + " (read as " + uid_text() + ") holds no ticket-granting ticket of " + name,
                   rfc_number(KRB5_CC_NOTFOUND));
    if (made_->tgt_->expires <= std::chrono::system_clock::now())
      return fault(Kind::ticket_expired,
                   what + ": the ticket-granting ticket of " + name + " ended at " +
                       utc_text(made_->tgt_->expires),
                   32);
    mix(made_->fingerprint_, name);
    mix(made_->fingerprint_,
        {reinterpret_cast<const char *>(made_->tgt_->credentials.data()), made_->tgt_->credentials.size()});
    return fault(Kind::ok, {});
  }

  /// What is opened is looked at, and what is read is parsed: the owner may do to the path what they like
  /// meanwhile. A FIFO is opened without waiting for its other end.
  Error load_caller_ccache() {
    const std::string path = spec().path.starts_with("FILE:") ? spec().path.substr(5) : spec().path;
    const auto refuse = [&](const std::string &why, int code = 0) {
      return fault(Kind::no_credentials,
                   "the caller's credential cache " + path + " (read as " + uid_text() + "): " + why, code);
    };
    const Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file.open()) return refuse(errno == ELOOP ? "it is a symbolic link" : std::strerror(errno), errno);
    struct stat about {};
    if (fstat(file.get(), &about) != 0) return refuse(std::strerror(errno), errno);
    if (const std::string why = why_not_taken(about, spec().owner); !why.empty()) return refuse(why);

    // libkrb5 parses files alone: it is given one that has no name and that nobody else can open.
    const Descriptor copy(memfd_create("ccache", MFD_CLOEXEC));
    if (!copy.open()) return refuse(std::strerror(errno), errno);
    std::array<char, 16 * 1024> some{};
    std::size_t size = 0;
    ssize_t got = 0;
    while ((got = read(file.get(), some.data(), some.size())) > 0) {
      size += static_cast<std::size_t>(got);
      if (size > largest_ccache || write(copy.get(), some.data(), static_cast<std::size_t>(got)) != got)
        break;
    }
    const int code = errno;
    explicit_bzero(some.data(), some.size());
    if (size > largest_ccache)
      return refuse("it is larger than " + std::to_string(largest_ccache) + " bytes");
    if (got != 0) return refuse(std::strerror(code), code);
    copy_ = "FILE:/proc/self/fd/" + std::to_string(copy.get());
    return load_ccache();
  }

  Error load_one_cache(const std::string &what) {
    OpenCcache ccache(context_);
    if (const auto code = krb5_cc_resolve(context_, primary_name().c_str(), ccache.out()))
      return ccache_error(code, what);
    Principal owner(context_);
    if (const auto code = krb5_cc_get_principal(context_, ccache.get(), owner.out()))
      return ccache_error(code, "credential cache " + name_of(ccache.get()));
    if (wanted_.get() && !krb5_principal_compare(context_, owner.get(), wanted_.get()))
      return fault(Kind::no_credentials, what + " belongs to " + unparse(context_, owner.get()) +
                                             ", not to " + unparse(context_, wanted_.get()));
    if (!wanted_.get()) *wanted_.out() = owner.release();
    return take_tgt(ccache.get());
  }

  /// The name to open where the collection's primary cache is meant. A DIR collection without its file
  /// "primary" would have one written by libkrb5, which then stands for "tkt".
  std::string primary_name() const {
    if (!copy_.empty()) return copy_;
    const std::string &name = spec().path;
    if (ccache_type(name) != "DIR" || name.starts_with("DIR::")) return name;
    const std::string folder = name.substr(4);
    return access((folder + "/primary").c_str(), F_OK) == 0 ? name : "DIR::" + folder + "/tkt";
  }

  /// Of a collection: the caches of the wanted principal.
  Error load_from_collection() {
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
      if (Error error = take_tgt(ccache.get()); error.kind != Kind::ok) return error;
    }
    if (found) return fault(Kind::ok, {});
    // A service that is not there is no empty collection: opening the primary cache says so.
    OpenCcache primary(context_);
    Principal owner(context_);
    if (others.empty())
      if (const auto code = krb5_cc_resolve(context_, primary_name().c_str(), primary.out()))
        return ccache_error(code, what);
    if (others.empty())
      if (const auto code = krb5_cc_get_principal(context_, primary.get(), owner.out()))
        return ccache_error(code, what);
    return fault(Kind::no_credentials,
                 what + " (read as " + uid_text() + ") holds no cache of " +
                     unparse(context_, wanted_.get()) + "; it holds caches of " + listed(others),
                 rfc_number(KRB5_CC_NOTFOUND));
  }

  /// The TGT of the client's own realm, if it lasts longer than one taken before (a
  /// renewal may have been appended).
  Error take_tgt(krb5_ccache ccache) {
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
      if (code == KRB5_CC_END) return fault(Kind::ok, {});
      if (code) return ccache_error(code, what);
      if (krb5_is_config_principal(context_, entry.get().server)) continue;
      if (!krb5_principal_compare(context_, entry.get().server, service.get())) continue;
      if (made_->tgt_ && made_->tgt_->expires >= to_time(entry.get().times.endtime)) continue;
      auto ticket = make_ticket(context_, entry.get());
      if (!ticket) return ticket.error();
      made_->tgt_ = std::move(*ticket);
    }
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
    if (line.empty())
      return refuse(Kind::no_credentials, 0, "its first line, which shall be the password, is empty");
    if (line.find('\0') != std::string_view::npos)
      return refuse(Kind::malformed, 0, "its first line holds a zero byte");
    password.shrink(line.size());
    mix(made_->fingerprint_, password.view());
    return fault(Kind::ok, {});
  }

  krb5_context context_;
  std::shared_ptr<LoadedIdentity> made_;
  std::string copy_; ///< of a caller's ccache: what is opened in its place; else empty
  Principal wanted_; // declared last: given back while the context, which made_ owns, still stands
};

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

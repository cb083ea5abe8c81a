// How load_identity reads the sources, a file each: keytab.cpp, ccache.cpp, caller_ccache.cpp, password.cpp.
// Internal to auth/.
#pragma once

#include "auth/loaded_identity.hpp"

#include <string_view>

namespace auth {

/// The loading of one identity: each function fills a part of it or says what is wrong.
class IdentityLoader {
public:
  IdentityLoader(const IdentitySpec &spec, Context context)
      : context_(context.get()), made_(std::make_shared<LoadedIdentity>(spec, std::move(context))),
        wanted_(context_) {}

  Result<std::shared_ptr<const Identity>> load();
  /// Of a password that is in no file.
  Result<std::shared_ptr<const Identity>> load(std::string_view password);

private:
  const IdentitySpec &spec() const { return made_->spec_; }
  Result<> parse_principal();
  Result<> read_source();
  std::shared_ptr<const Identity> finished();

  Result<> load_keytab();
  Result<> load_password_file();
  Result<> take_password(std::string_view password);

  Result<> load_ccache();
  /// What is opened is looked at, and what is read is parsed: the owner may do to the path what they like
  /// meanwhile. A FIFO is opened without waiting for its other end.
  Result<> load_caller_ccache();
  Result<> load_one_cache(const std::string &what);
  /// Of a collection: the caches of the wanted principal.
  Result<> load_from_collection();
  /// The TGT of the client's own realm, if it lasts longer than one taken before (a
  /// renewal may have been appended).
  Result<> take_tgt(krb5_ccache ccache);
  /// The name to open where the collection's primary cache is meant. A DIR collection without its file
  /// "primary" would have one written by libkrb5, which then stands for "tkt".
  std::string primary_name() const;
  std::string name_of(krb5_ccache ccache) const;
  /// What goes wrong with a cache, as an Error.
  std::unexpected<Error> ccache_error(krb5_error_code code, const std::string &what) const;

  /// Adds bytes to the fingerprint.
  void mix(std::string_view bytes);

  krb5_context context_;
  std::shared_ptr<LoadedIdentity> made_;
  std::string copy_; ///< of a caller's ccache: what is opened in its place; else empty
  Principal wanted_; // declared last: given back while the context, which made_ owns, still stands
};

/// "uid 1000": who reads.
std::string uid_text();
/// Names for a sentence: "only a, b and 3 more"; "none at all".
std::string listed(const std::vector<std::string> &names);

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

} // namespace auth

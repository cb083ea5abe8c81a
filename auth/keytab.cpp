#include "auth/identity_loader.hpp"

#include <algorithm>
#include <atomic>

namespace auth {

Result<> IdentityLoader::load_keytab() {
  const std::string what = "keytab " + spec().path;
  const auto refuse = [&](krb5_error_code code) {
    Error error = library_error(context_, code, what + " (read as " + uid_text() + "): ");
    error.kind = code == KRB5_KEYTAB_BADVNO ? Kind::malformed : Kind::no_credentials;
    return std::unexpected(std::move(error));
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
        mix({reinterpret_cast<const char *>(entry.key.contents), entry.key.length});
        mix(std::to_string(entry.vno) + "." + std::to_string(entry.key.enctype));
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
    return std::unexpected(make_error(Kind::no_credentials,
                                      what + " holds no key of " + principal + "; it holds " + listed(others),
                                      rfc_number(KRB5_KT_NOTFOUND)));
  made_->keytab_name_ = name;
  return {};
}

} // namespace auth

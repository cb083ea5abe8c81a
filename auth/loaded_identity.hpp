// What load_identity really makes. Internal to auth/: request_tgt takes the secrets from here.
#pragma once

#include "auth/gss.hpp"
#include "auth/handles.hpp"
#include "auth/identity.hpp"
#include "auth/wiped.hpp"

#include <memory>
#include <mutex>

namespace auth {

/// What NTLM makes of a password, for all logins of an identity. Contexts copy from it, and do not change it.
struct NtlmCredential {
  std::mutex mutex; ///< of `made`
  std::shared_ptr<const GssCredential> made;
};

class LoadedIdentity final : public Identity {
public:
  LoadedIdentity(IdentitySpec spec, Context context)
      : spec_(std::move(spec)), context_(std::move(context)), keytab_(context_.get()) {}

  const IdentitySpec &spec() const override { return spec_; }
  const std::string &principal() const override { return principal_; }
  const std::string &realm() const override { return realm_; }
  std::size_t fingerprint() const override { return fingerprint_; }
  std::optional<Time> expires() const override { return tgt_ ? std::optional(tgt_->expires) : std::nullopt; }

  /// "MEMORY:…" of a keytab with this principal's keys; empty for other sources. It
  /// lives as long as this object.
  const std::string &keytab() const { return keytab_name_; }
  /// Empty for other sources.
  const Wiped &password() const { return password_; }
  /// Made by whoever needs it first.
  NtlmCredential &ntlm() const { return ntlm_; }
  /// Null for other sources.
  const TicketPtr &tgt() const { return tgt_; }

private:
  friend class IdentityLoader;
  IdentitySpec spec_;
  std::string principal_;
  std::string realm_;
  Context context_; // of keytab_, and used by nobody else after loading: contexts are not thread-safe
  Keytab keytab_;   // keeps the MEMORY keytab alive; exchanges open it by name
  std::string keytab_name_;
  Wiped password_;
  mutable NtlmCredential ntlm_;
  std::size_t fingerprint_ = 0;
  TicketPtr tgt_;
};

} // namespace auth

#include "auth/ntlm_initiator.hpp"

#include "auth/gss.hpp"
#include "auth/loaded_identity.hpp"
#include "auth/nt_hash.hpp"
#include "auth/ntlm_message.hpp"

#include <array>

namespace auth {

namespace {

/// 1.3.6.1.4.1.7165.655.1.2, GSS_SPNEGO_REQUIRE_MIC: whoever asks an NTLM context for it says that it can do
/// with a MIC. SPNEGO does so; of raw tokens nobody else would.
gss_OID_desc require_mic_oid{11, const_cast<char *>("\x2b\x06\x01\x04\x01\xb7\x7d\x85\x0f\x01\x02")};

constexpr OM_uint32 flags_asked = GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_INTEG_FLAG;

/// "MSSQLSvc@sql1.corp.test:1433" of "MSSQLSvc/sql1.corp.test:1433": NTLM takes host-based names only.
std::string host_based(std::string service) {
  if (const auto slash = service.find('/'); slash != service.npos) service[slash] = '@';
  return service;
}

/// GSSAPI says "unsupported mechanism" of a plug-in that is not there.
Error named(Error error) {
  if (error.kind == Kind::mechanism_missing)
    error.text = "GSSAPI has no NTLM here: the package gss-ntlmssp is not installed (" + error.text + ")";
  return error;
}

using CredentialPtr = std::shared_ptr<const GssCredential>;

Result<CredentialPtr> make_credential(const std::string &account, const Wiped &password, gss_OID mechanism) {
  OM_uint32 minor = 0;
  GssName name;
  auto text = borrowed(account);
  if (const auto major = gss_import_name(&minor, &text, GSS_C_NT_USER_NAME, name.out()); GSS_ERROR(major))
    return std::unexpected(gss_error(major, minor, &ntlm_oid));
  const auto hash = NtHash::of(password.view());
  if (!hash)
    return std::unexpected(make_error(Kind::malformed, "the password of " + account + " is no text"));
  // SPNEGO asks every mechanism, and without a ccache Kerberos would look for one of its own (NTLM does not
  // look at it).
  std::array<gss_key_value_element_desc, 2> elements{
      {{"ntlmssp_nthash", hash->c_str()}, {"ccache", "MEMORY:none"}}};
  const bool spnego = mechanism == &spnego_oid;
  const gss_key_value_set_desc store{spnego ? 2u : 1u, elements.data()};
  gss_OID_set_desc mechanisms{1, mechanism};
  auto made = std::make_shared<GssCredential>();
  if (const auto major = gss_acquire_cred_from(&minor, name.get(), GSS_C_INDEFINITE, &mechanisms,
                                               GSS_C_INITIATE, &store, made->out(), nullptr, nullptr);
      GSS_ERROR(major))
    return std::unexpected(named(gss_error(major, minor, mechanism)));
  if (!spnego) return made;
  gss_OID_set_desc ntlm{1, &ntlm_oid};
  if (const auto major = gss_set_neg_mechs(&minor, made->get(), &ntlm); GSS_ERROR(major))
    return std::unexpected(named(gss_error(major, minor, mechanism)));
  return made;
}

/// The identity's own one for raw tokens; for SPNEGO, which only tests ask for, one more.
Result<CredentialPtr> credential_of(const LoadedIdentity &identity, const std::string &account,
                                    gss_OID mechanism) {
  if (mechanism == &spnego_oid) return make_credential(account, identity.password(), mechanism);
  auto &kept = identity.ntlm();
  std::lock_guard lock(kept.mutex);
  if (kept.made) return kept.made;
  auto made = make_credential(account, identity.password(), mechanism);
  if (made) kept.made = *made;
  return made;
}

class NtlmInitiator final : public Initiator {
public:
  explicit NtlmInitiator(NtlmOptions options)
      : options_(std::move(options)),
        mechanism_(options_.wrapping == Wrapping::spnego ? &spnego_oid : &ntlm_oid) {}

  Result<> prepare(const LoadedIdentity &identity) {
    OM_uint32 minor = 0;
    const auto service = host_based(options_.service);
    auto text = borrowed(service);
    if (const auto major = gss_import_name(&minor, &text, GSS_C_NT_HOSTBASED_SERVICE, target_.out());
        GSS_ERROR(major))
      return std::unexpected(gss_error(major, minor, &ntlm_oid));
    auto credential = credential_of(identity, options_.account, mechanism_);
    if (!credential) return std::unexpected(std::move(credential.error()));
    credential_ = std::move(*credential);
    auto holder = holder_of(*credential_, mechanism_);
    if (!holder) return std::unexpected(std::move(holder.error()));
    source_ = std::move(*holder);
    return {};
  }

  void bind(ByteView channel) override { channel_.assign(channel.begin(), channel.end()); }

  Result<Step> step(ByteView server_token) override {
    if (security_.get())
      if (auto judged = judge_challenge(server_token); !judged)
        return std::unexpected(std::move(judged.error()));
    auto in = borrowed(server_token);
    GssBuffer out;
    OM_uint32 minor = 0, granted = 0;
    auto bindings = bindings_to(channel_);
    const auto major = gss_init_sec_context(
        &minor, credential_->get(), security_.out(), target_.get(), mechanism_, flags_asked, 0,
        channel_.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
        server_token.empty() ? GSS_C_NO_BUFFER : &in, nullptr, out.out(), &granted, nullptr);
    if (GSS_ERROR(major)) {
      auto error = gss_error(major, minor, mechanism_);
      if (error.kind == Kind::other) error.kind = Kind::malformed;
      return std::unexpected(std::move(error));
    }
    Step step{.token = out.bytes(),
              .complete = !(major & GSS_S_CONTINUE_NEEDED),
              .mutual = false,
              .flags_asked = flags_asked,
              .flags_granted = granted};
    if (auto judged = judge_answer(step.token); !judged) return std::unexpected(std::move(judged.error()));
    return step;
  }

  const std::string &source() const override { return source_; }
  Result<SessionKey> session_key() const override { return session_key_of(security_, mechanism_); }

private:
  /// Of the server's first token, before the mechanism answers it.
  Result<> judge_challenge(ByteView token) {
    if (challenged_) return {}; // SPNEGO's last word
    const auto challenge = find_ntlm(token, ntlm_challenge);
    const auto time = challenge.empty() ? std::nullopt : tells_time(challenge);
    if (!time) return std::unexpected(make_error(Kind::malformed, "the server's token is no NTLM challenge"));
    challenged_ = true;
    if (!options_.require_mic) return {};
    if (!*time)
      return std::unexpected(make_error(
          Kind::no_mic, "the server's NTLM challenge does not tell its time, so no MIC can be made"));
    if (mechanism_ == &spnego_oid) return {};
    OM_uint32 minor = 0;
    GssBufferSet ignored;
    // judge_answer sees whether it helped.
    gss_inquire_sec_context_by_oid(&minor, security_.get(), &require_mic_oid, ignored.out());
    return {};
  }

  Result<> judge_answer(ByteView token) const {
    const auto answer = find_ntlm(token, ntlm_authenticate);
    if (answer.empty()) return {};
    const auto protection = protection_of(answer);
    if (!protection.v2)
      return std::unexpected(
          make_error(Kind::malformed, "the mechanism's answer is not NTLMv2; check LM_COMPAT_LEVEL"));
    if (options_.require_mic && !protection.mic)
      return std::unexpected(make_error(Kind::no_mic, "the mechanism's answer has no MIC"));
    return {};
  }

  NtlmOptions options_;
  gss_OID mechanism_;
  GssName target_;
  CredentialPtr credential_;
  GssContext security_;
  Bytes channel_; // empty: bound to none
  std::string source_;
  bool challenged_ = false;
};

} // namespace

Result<std::unique_ptr<Initiator>> make_ntlm_initiator(const Identity &identity, NtlmOptions options) {
  const auto *loaded = dynamic_cast<const LoadedIdentity *>(&identity);
  if (!loaded || loaded->password().size() == 0)
    return std::unexpected(
        make_error(Kind::no_credentials, "NTLM needs a password, and identity " + identity.spec().name +
                                             " is a " + std::string(to_string(identity.spec().source))));
  auto initiator = std::make_unique<NtlmInitiator>(std::move(options));
  if (auto ready = initiator->prepare(*loaded); !ready) return std::unexpected(std::move(ready.error()));
  return initiator;
}

} // namespace auth

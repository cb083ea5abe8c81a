#include "auth/initiator.hpp"

#include "auth/gss.hpp"
#include "auth/handles.hpp"

#include <gssapi/gssapi_krb5.h>

namespace auth {

namespace {

/// A principal's exact name. Never host-based: GSSAPI would canonicalise it by DNS.
OM_uint32 import_principal(OM_uint32 *minor, const std::string &principal, GssName &name) {
  auto buffer = borrowed(principal);
  return gss_import_name(minor, &buffer, const_cast<gss_OID>(GSS_KRB5_NT_PRINCIPAL_NAME), name.out());
}

/// GSSAPI makes contexts of its own, several in each login, and they read the file that KRB5_CONFIG names.
/// libkrb5 shares a parsed file among all contexts that are alive: while this one is, theirs find it parsed
/// and only look whether it has changed. (Of 200 logins, about 100 opened and parsed it without this.)
void keep_configuration_parsed() {
  static const Context kept = [] {
    krb5_context context = nullptr;
    krb5_init_context(&context); // null where the file is malformed: then GSSAPI itself will say so
    return Context(context);
  }();
}

class GssInitiator final : public Initiator {
public:
  GssInitiator(Context context, InitiatorOptions options)
      : context_(std::move(context)), ccache_(context_.get()),
        mechanism_(options.wrapping == Wrapping::spnego ? &spnego_oid : &krb5_oid),
        flags_(GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_INTEG_FLAG |
               (options.mutual ? GSS_C_MUTUAL_FLAG : 0u)) {}

  /// Makes it ready for the first step.
  Result<> prepare(const Ticket &ticket) {
    if (const auto code = make_private_ccache(context_.get(), ticket, ccache_))
      return std::unexpected(library_error(context_.get(), code, "ticket: "));
    Name ccache_name(context_.get());
    if (const auto code = krb5_cc_get_full_name(context_.get(), ccache_.get(), ccache_name.out()))
      return std::unexpected(library_error(context_.get(), code, "ticket: "));

    OM_uint32 minor = 0;
    GssName client;
    if (const auto major = import_principal(&minor, ticket.client, client); GSS_ERROR(major))
      return std::unexpected(gss_error(major, minor, &krb5_oid));
    if (const auto major = import_principal(&minor, ticket.server, target_); GSS_ERROR(major))
      return std::unexpected(gss_error(major, minor, &krb5_oid));

    // For SPNEGO the credential must be acquired for SPNEGO's own OID: one for the krb5 OID is ignored
    // without a word, and the process's default credentials, perhaps another user's, are taken. By the
    // client's name, so that no other mechanism than krb5 can have one: SPNEGO asks all that are installed,
    // and they would look into files and sockets of theirs.
    gss_key_value_element_desc store_element{"ccache", ccache_name.get()};
    gss_key_value_set_desc store{1, &store_element};
    gss_OID_set_desc mechanisms{1, mechanism_};
    if (const auto major = gss_acquire_cred_from(&minor, client.get(), GSS_C_INDEFINITE, &mechanisms,
                                                 GSS_C_INITIATE, &store, credential_.out(), nullptr, nullptr);
        GSS_ERROR(major))
      return std::unexpected(gss_error(major, minor, mechanism_));
    if (mechanism_ == &spnego_oid) {
      gss_OID_set_desc kerberos{1, &krb5_oid};
      if (const auto major = gss_set_neg_mechs(&minor, credential_.get(), &kerberos); GSS_ERROR(major))
        return std::unexpected(gss_error(major, minor, mechanism_));
    }

    auto holder = holder_of(credential_, mechanism_);
    if (!holder) return std::unexpected(std::move(holder.error()));
    source_ = std::move(*holder);
    if (source_ == ticket.client) return {};
    return std::unexpected(make_error(Kind::no_credentials, "GSSAPI would authenticate as " + source_ +
                                                                " instead of " + ticket.client));
  }

  void bind(ByteView channel) override { channel_.assign(channel.begin(), channel.end()); }

  Result<Step> step(ByteView server_token) override {
    if (security_.get() && server_token.empty())
      return std::unexpected(make_error(Kind::malformed, "the server's token is empty"));
    auto in = borrowed(server_token);
    GssBuffer out;
    OM_uint32 minor = 0, granted = 0;
    auto bindings = bindings_to(channel_);
    const OM_uint32 major = gss_init_sec_context(
        &minor, credential_.get(), security_.out(), target_.get(), mechanism_, flags_, 0,
        channel_.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
        server_token.empty() ? GSS_C_NO_BUFFER : &in, nullptr, out.out(), &granted, nullptr);
    if (GSS_ERROR(major)) return std::unexpected(refused(major, minor, server_token));

    const bool complete = !(major & GSS_S_CONTINUE_NEEDED);
    if (complete) ccache_.reset(); // the context holds the session key; the ticket is no longer needed
    return Step{.token = out.bytes(),
                .complete = complete,
                .mutual = complete && (granted & GSS_C_MUTUAL_FLAG),
                .flags_asked = flags_,
                .flags_granted = granted};
  }

  const std::string &source() const override { return source_; }
  Result<SessionKey> session_key() const override { return session_key_of(security_, mechanism_); }

private:
  Error refused(OM_uint32 major, OM_uint32 minor, ByteView server_token) const {
    Error error = gss_error(major, minor, mechanism_);
    if (server_token.empty()) return error; // our own side
    if (const auto said = find_krb_error(server_token)) {
      error.kind = kind_of_server_error(said->code);
      error.code = said->code;
      error.text =
          "the server answered KRB-ERROR " + std::to_string(said->code) + ": " +
          library_text(context_.get(), static_cast<krb5_error_code>(ERROR_TABLE_BASE_krb5 + said->code));
      error.said = said->said;
      error.server_time = said->server_time;
    } else if (error.kind == Kind::other) {
      error.kind = holds_ap_rep(server_token) ? Kind::mutual_failed : Kind::malformed;
    }
    return error;
  }

  Context context_;
  PrivateCcache ccache_;
  gss_OID mechanism_;
  OM_uint32 flags_;
  GssName target_;
  GssCredential credential_;
  GssContext security_;
  Bytes channel_; // empty: bound to none
  std::string source_;
};

} // namespace

Result<std::unique_ptr<Initiator>> make_initiator(TicketPtr ticket, InitiatorOptions options) {
  if (!ticket) return std::unexpected(make_error(Kind::no_credentials, "there is no service ticket"));
  if (ticket->expires <= std::chrono::system_clock::now())
    return std::unexpected(
        make_error(Kind::ticket_expired,
                   "the ticket for " + ticket->server + " ended at " + utc_text(ticket->expires), 32));
  keep_configuration_parsed();
  auto context = make_bare_context();
  if (!context) return std::unexpected(context.error());
  auto initiator = std::make_unique<GssInitiator>(std::move(*context), options);
  if (auto ready = initiator->prepare(*ticket); !ready) return std::unexpected(std::move(ready.error()));
  return initiator;
}

} // namespace auth

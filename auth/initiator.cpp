#include "auth/initiator.hpp"

#include "auth/handles.hpp"

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>

namespace auth {

namespace {

gss_OID_desc krb5_oid{9, const_cast<char *>("\x2a\x86\x48\x86\xf7\x12\x01\x02\x02")}; // 1.2.840.113554.1.2.2, RFC 4121
gss_OID_desc spnego_oid{6, const_cast<char *>("\x2b\x06\x01\x05\x05\x02")};           // 1.3.6.1.5.5.2, RFC 4178

/// Owns one GSSAPI object.
template <class T, auto Release> class Gss {
public:
  Gss() = default;
  Gss(const Gss &) = delete;
  Gss &operator=(const Gss &) = delete;
  ~Gss() {
    OM_uint32 minor = 0;
    if (object_) Release(&minor, &object_);
  }
  T get() const { return object_; }
  T *out() { return &object_; }

private:
  T object_{};
};

OM_uint32 delete_context(OM_uint32 *minor, gss_ctx_id_t *context) {
  return gss_delete_sec_context(minor, context, GSS_C_NO_BUFFER);
}

using GssName = Gss<gss_name_t, gss_release_name>;
using GssCredential = Gss<gss_cred_id_t, gss_release_cred>;
using GssContext = Gss<gss_ctx_id_t, delete_context>;

class GssBuffer {
public:
  GssBuffer() = default;
  GssBuffer(const GssBuffer &) = delete;
  GssBuffer &operator=(const GssBuffer &) = delete;
  ~GssBuffer() {
    OM_uint32 minor = 0;
    gss_release_buffer(&minor, &buffer_);
  }
  gss_buffer_t out() { return &buffer_; }
  Bytes bytes() const {
    const auto *begin = static_cast<const std::uint8_t *>(buffer_.value);
    return begin ? Bytes(begin, begin + buffer_.length) : Bytes();
  }
  std::string text() const {
    return buffer_.value ? std::string(static_cast<const char *>(buffer_.value), buffer_.length) : std::string();
  }

private:
  gss_buffer_desc buffer_ = GSS_C_EMPTY_BUFFER;
};

/// GSSAPI's sentences for one code.
std::string status_text(OM_uint32 code, int type, gss_OID mechanism) {
  std::string text;
  OM_uint32 minor = 0, more = 0;
  do {
    GssBuffer line;
    if (GSS_ERROR(gss_display_status(&minor, code, type, mechanism, &more, line.out()))) break;
    text += (text.empty() ? "" : ". ") + line.text();
  } while (more);
  return text;
}

Kind kind_of_major(OM_uint32 major) {
  switch (GSS_ROUTINE_ERROR(major)) {
  case GSS_S_BAD_BINDINGS:
    return Kind::bad_bindings;
  case GSS_S_CREDENTIALS_EXPIRED:
  case GSS_S_CONTEXT_EXPIRED:
    return Kind::ticket_expired;
  case GSS_S_NO_CRED:
    return Kind::no_credentials;
  case GSS_S_BAD_MECH:
  case GSS_S_UNAVAILABLE:
    return Kind::mechanism_missing;
  default:
    return Kind::other;
  }
}

/// The minor code gives a sentence only: the mechanism glue gives codes numbers of its own, so it cannot be compared with anything.
Error gss_error(OM_uint32 major, OM_uint32 minor, gss_OID mechanism) {
  std::string text = status_text(major, GSS_C_GSS_CODE, mechanism);
  if (minor) text += ": " + status_text(minor, GSS_C_MECH_CODE, mechanism);
  return {.kind = kind_of_major(major), .code = major, .text = std::move(text), .said = {}, .server_time = {}};
}

/// A principal's exact name. Never host-based: GSSAPI would canonicalise it by DNS.
OM_uint32 import_principal(OM_uint32 *minor, const std::string &principal, GssName &name) {
  gss_buffer_desc buffer{principal.size(), const_cast<char *>(principal.data())};
  return gss_import_name(minor, &buffer, const_cast<gss_OID>(GSS_KRB5_NT_PRINCIPAL_NAME), name.out());
}

/// GSSAPI makes contexts of its own, several in each login, and they read the file that KRB5_CONFIG names. libkrb5 shares a parsed file
/// among all contexts that are alive: while this one is, theirs find it parsed and only look whether it has changed. (Of 200 logins,
/// about 100 opened and parsed it without this.)
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
        flags_(GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_INTEG_FLAG | (options.mutual ? GSS_C_MUTUAL_FLAG : 0u)) {
  }

  /// nullopt: ready for the first step.
  std::optional<Error> prepare(const Ticket &ticket) {
    if (const auto code = make_private_ccache(context_.get(), ticket, ccache_))
      return library_error(context_.get(), code, "ticket: ");
    Name ccache_name(context_.get());
    if (const auto code = krb5_cc_get_full_name(context_.get(), ccache_.get(), ccache_name.out()))
      return library_error(context_.get(), code, "ticket: ");

    OM_uint32 minor = 0;
    GssName client;
    if (const auto major = import_principal(&minor, ticket.client, client); GSS_ERROR(major))
      return gss_error(major, minor, &krb5_oid);
    if (const auto major = import_principal(&minor, ticket.server, target_); GSS_ERROR(major))
      return gss_error(major, minor, &krb5_oid);

    // For SPNEGO the credential must be acquired for SPNEGO's own OID: one for the krb5 OID is ignored without a word, and the
    // process's default credentials, perhaps another user's, are taken. By the client's name, so that no other mechanism than krb5
    // can have one: SPNEGO asks all that are installed, and they would look into files and sockets of theirs.
    gss_key_value_element_desc store_element{"ccache", ccache_name.get()};
    gss_key_value_set_desc store{1, &store_element};
    gss_OID_set_desc mechanisms{1, mechanism_};
    if (const auto major = gss_acquire_cred_from(&minor, client.get(), GSS_C_INDEFINITE, &mechanisms, GSS_C_INITIATE,
                                                 &store, credential_.out(), nullptr, nullptr);
        GSS_ERROR(major))
      return gss_error(major, minor, mechanism_);
    if (mechanism_ == &spnego_oid) {
      gss_OID_set_desc kerberos{1, &krb5_oid};
      if (const auto major = gss_set_neg_mechs(&minor, credential_.get(), &kerberos); GSS_ERROR(major))
        return gss_error(major, minor, mechanism_);
    }

    GssName holder;
    GssBuffer holder_text;
    if (const auto major = gss_inquire_cred(&minor, credential_.get(), holder.out(), nullptr, nullptr, nullptr);
        GSS_ERROR(major))
      return gss_error(major, minor, mechanism_);
    if (const auto major = gss_display_name(&minor, holder.get(), holder_text.out(), nullptr); GSS_ERROR(major))
      return gss_error(major, minor, mechanism_);
    source_ = holder_text.text();
    if (source_ == ticket.client) return std::nullopt;
    return Error{.kind = Kind::no_credentials,
                 .code = 0,
                 .text = "GSSAPI would authenticate as " + source_ + " instead of " + ticket.client,
                 .said = {},
                 .server_time = {}};
  }

  void bind(ByteView channel) override { channel_.assign(channel.begin(), channel.end()); }

  Result<Step> step(ByteView server_token) override {
    if (security_.get() && server_token.empty())
      return std::unexpected(Error{
          .kind = Kind::malformed, .code = 0, .text = "the server's token is empty", .said = {}, .server_time = {}});
    gss_buffer_desc in{server_token.size(), const_cast<std::uint8_t *>(server_token.data())};
    GssBuffer out;
    OM_uint32 minor = 0, granted = 0;
    // Address types and lengths stay zero: only the application data is bound.
    gss_channel_bindings_struct bindings{};
    bindings.application_data = {channel_.size(), channel_.data()};
    const OM_uint32 major =
        gss_init_sec_context(&minor, credential_.get(), security_.out(), target_.get(), mechanism_, flags_, 0,
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

private:
  Error refused(OM_uint32 major, OM_uint32 minor, ByteView server_token) const {
    Error error = gss_error(major, minor, mechanism_);
    if (server_token.empty()) return error; // our own side
    if (const auto said = find_krb_error(server_token)) {
      error.kind = kind_of_server_error(said->code);
      error.code = said->code;
      error.text = "the server answered KRB-ERROR " + std::to_string(said->code) + ": " +
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
  const auto fault = [](Kind kind, std::int64_t code, std::string text) {
    return std::unexpected(Error{.kind = kind, .code = code, .text = std::move(text), .said = {}, .server_time = {}});
  };
  if (!ticket) return fault(Kind::no_credentials, 0, "there is no service ticket");
  if (ticket->expires <= std::chrono::system_clock::now())
    return fault(Kind::ticket_expired, 32,
                 "the ticket for " + ticket->server + " ended at " + utc_text(ticket->expires));
  keep_configuration_parsed();
  auto context = make_bare_context();
  if (!context) return std::unexpected(context.error());
  auto initiator = std::make_unique<GssInitiator>(std::move(*context), options);
  if (auto error = initiator->prepare(*ticket)) return std::unexpected(*std::move(error));
  return initiator;
}

} // namespace auth

#include "tools/lab/peer/acceptor.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <utility>

namespace lab {
namespace {

gss_OID_desc spnego_mechanism{6,
                              const_cast<char *>("\x2b\x06\x01\x05\x05\x02")}; // MIT exports no name for it
constexpr std::uint8_t kerberos_oid[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                         0xF7, 0x12, 0x01, 0x02, 0x02}; // DER, with its tag

/// Tag, length, content (X.690).
tds::Bytes der(std::uint8_t tag, std::initializer_list<tds::ByteView> parts) {
  std::size_t size = 0;
  for (const auto part : parts)
    size += part.size();
  tds::Writer out;
  out.u8(tag);
  if (size >= 0x100) {
    out.u8(0x82);
    out.u16_be(static_cast<std::uint16_t>(size));
  } else {
    if (size >= 0x80) out.u8(0x81);
    out.u8(static_cast<std::uint8_t>(size));
  }
  for (const auto part : parts)
    out.append(part);
  return std::move(out).bytes();
}

struct GssBuffer : gss_buffer_desc {
  GssBuffer() : gss_buffer_desc{0, nullptr} {}
  ~GssBuffer() {
    OM_uint32 minor = 0;
    gss_release_buffer(&minor, this);
  }
  GssBuffer(const GssBuffer &) = delete;
  GssBuffer &operator=(const GssBuffer &) = delete;
  tds::ByteView bytes() const { return {static_cast<const std::uint8_t *>(value), length}; }
  std::string text() const { return {static_cast<const char *>(value), length}; }
};

std::string status_text(OM_uint32 major, OM_uint32 minor, gss_OID mechanism) {
  std::string text;
  const auto add = [&](OM_uint32 code, int type) {
    OM_uint32 more = 0, ignored = 0;
    do {
      GssBuffer line;
      if (GSS_ERROR(gss_display_status(&ignored, code, type, mechanism, &more, &line))) return;
      text += (text.empty() ? "" : ": ") + line.text();
    } while (more);
  };
  add(major, GSS_C_GSS_CODE);
  if (minor) add(minor, GSS_C_MECH_CODE);
  return text;
}

std::string display(gss_name_t name) {
  OM_uint32 minor = 0;
  GssBuffer text;
  if (name == GSS_C_NO_NAME || GSS_ERROR(gss_display_name(&minor, name, &text, nullptr))) return {};
  return text.text();
}

/// Codes that Windows sends as they are. For every ticket it cannot make sense of it sends
/// 41 (KRB_AP_ERR_MODIFIED).
bool windows_tells_apart(int code) {
  return code == 32 /* TKT_EXPIRED */ || code == 33 /* TKT_NYV */ || code == 34 /* REPEAT */ ||
         code == 37 /* SKEW */;
}

/// The code in the KRB-ERROR that MIT made, raw or inside SPNEGO; 0 where it made none.
int code_in(tds::ByteView token) {
  constexpr std::uint8_t error_id[] = {0x03, 0x00};
  tds::Bytes start(std::begin(kerberos_oid), std::end(kerberos_oid));
  start.insert(start.end(), std::begin(error_id), std::end(error_id));
  const auto found = std::ranges::search(token, start);
  if (found.empty()) return 0;
  const auto rest = token.subspan(static_cast<std::size_t>(found.end() - token.begin()));
  krb5_context kerberos = nullptr;
  if (krb5_init_context(&kerberos) != 0) return 0;
  krb5_data encoded{0, static_cast<unsigned>(rest.size()),
                    reinterpret_cast<char *>(const_cast<std::uint8_t *>(rest.data()))};
  krb5_error *error = nullptr;
  int code = 0;
  if (krb5_rd_error(kerberos, &encoded, &error) == 0) {
    code = static_cast<int>(error->error);
    krb5_free_error(kerberos, error);
  }
  krb5_free_context(kerberos);
  return code;
}

} // namespace

struct Acceptor::Context {
  AcceptorOptions options;
  gss_cred_id_t credential = GSS_C_NO_CREDENTIAL;
  gss_ctx_id_t context = GSS_C_NO_CONTEXT;
  OM_uint32 flags = 0;
  std::optional<tds::Mechanism> framing;
  std::string initiator, spn, scheme;
  std::optional<NtlmAcceptor> ntlm;
  bool ntlm_answered = false; // the AUTHENTICATE_MESSAGE came

  ~Context() {
    OM_uint32 minor = 0;
    gss_delete_sec_context(&minor, &context, GSS_C_NO_BUFFER);
    gss_release_cred(&minor, &credential);
  }

  Step failure(OM_uint32 major, OM_uint32 minor, gss_OID mechanism, tds::ByteView native) const {
    Step step{.text = status_text(major, minor, mechanism)};
    if (framing != tds::Mechanism::kerberos && framing != tds::Mechanism::spnego)
      return step; // no KRB-ERROR for NTLM
    // SPNEGO maps minor codes to numbers of its own, so the token is looked at first.
    const auto protocol = static_cast<std::int64_t>(static_cast<std::int32_t>(minor)) - ERROR_TABLE_BASE_krb5;
    int code = code_in(native);
    if (code == 0) code = protocol > 0 && protocol < 128 ? static_cast<int>(protocol) : 60; // KRB_ERR_GENERIC
    step.krb_error = options.native_errors || windows_tells_apart(code) ? code : 41;
    if (options.native_errors && !native.empty()) {
      step.token.assign(native.begin(), native.end());
      return step;
    }
    step.token = krb_error_token(step.krb_error);
    if (framing == tds::Mechanism::spnego) step.token = spnego_reject(step.token);
    return step;
  }

  Step accept_ntlm(tds::ByteView token);

  void learn_names(gss_name_t source, gss_OID mechanism) {
    initiator = display(source);
    scheme = mechanism && gss_oid_equal(mechanism, const_cast<gss_OID>(gss_mech_krb5)) ? "KERBEROS" : "NTLM";
    gss_name_t target = GSS_C_NO_NAME;
    OM_uint32 minor = 0;
    if (!GSS_ERROR(gss_inquire_context(&minor, context, nullptr, &target, nullptr, nullptr, nullptr, nullptr,
                                       nullptr)))
      spn = display(target);
    gss_release_name(&minor, &target);
  }
};

/// Two tokens: NEGOTIATE, then AUTHENTICATE. A refusal has no token: Windows' SQL Server
/// answers with error 18452 alone.
Acceptor::Step Acceptor::Context::accept_ntlm(tds::ByteView token) {
  if (!options.ntlm) return {.text = "This server takes no NTLM."};
  if (!ntlm) {
    auto own = *options.ntlm;
    own.bindings = options.bindings;
    ntlm.emplace(std::move(own));
    auto challenge = ntlm->challenge(token);
    if (!challenge) return {.text = challenge.error()};
    return {.state = Step::State::more, .token = *std::move(challenge)};
  }
  if (std::exchange(ntlm_answered, true)) return {.text = "An NTLM login has no third token."};
  const auto outcome = ntlm->authenticate(token);
  const auto &client = ntlm->client();
  if (client.flags & ntlm::sign) flags |= GSS_C_INTEG_FLAG;
  if (client.flags & ntlm::seal) flags |= GSS_C_CONF_FLAG;
  if (client.binding == NtlmAcceptor::Binding::equal) flags |= GSS_C_CHANNEL_BOUND_FLAG;
  if (!outcome)
    return {.bad_bindings = client.binding == NtlmAcceptor::Binding::different, .text = outcome.error()};
  initiator = client.principal;
  scheme = "NTLM";
  return {.state = Step::State::complete};
}

Acceptor::Acceptor(AcceptorOptions options) : context_(std::make_unique<Context>()) {
  context_->options = std::move(options);
}
Acceptor::~Acceptor() = default;
Acceptor::Acceptor(Acceptor &&) noexcept = default;

Acceptor::Step Acceptor::accept(tds::ByteView token) {
  auto &self = *context_;
  if (!self.framing) self.framing = tds::recognise(token);
  if (self.framing == tds::Mechanism::ntlm) return self.accept_ntlm(token);
  OM_uint32 major = 0, minor = 0;
  if (self.credential == GSS_C_NO_CREDENTIAL) {
    // No name: any principal of the keytab will do, as a SQL Server answers to all its SPNs.
    const auto place = "FILE:" + self.options.keytab.string();
    gss_key_value_element_desc element{"keytab", place.c_str()};
    const gss_key_value_set_desc store{1, &element};
    gss_OID_desc mechanisms[] = {*gss_mech_krb5, spnego_mechanism};
    gss_OID_set_desc both{2, mechanisms};
    major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &both, GSS_C_ACCEPT, &store,
                                  &self.credential, nullptr, nullptr);
    if (GSS_ERROR(major)) return self.failure(major, minor, GSS_C_NO_OID, {});
  }
  gss_buffer_desc input{token.size(), const_cast<std::uint8_t *>(token.data())};
  GssBuffer output;
  gss_name_t source = GSS_C_NO_NAME;
  gss_OID mechanism = GSS_C_NO_OID;
  gss_channel_bindings_struct bindings{};
  bindings.application_data = {self.options.bindings.size(), self.options.bindings.data()};
  major = gss_accept_sec_context(&minor, &self.context, self.credential, &input,
                                 self.options.bindings.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
                                 &source, &mechanism, &output, &self.flags, nullptr, nullptr);
  Step step;
  if (GSS_ROUTINE_ERROR(major) == GSS_S_BAD_BINDINGS) {
    step.bad_bindings = true;
    step.text = status_text(major, minor, mechanism);
  } else if (GSS_ERROR(major)) {
    step = self.failure(major, minor, mechanism, output.bytes());
  } else {
    step.state = major == GSS_S_COMPLETE ? Step::State::complete : Step::State::more;
    step.token.assign(output.bytes().begin(), output.bytes().end());
    if (step.state == Step::State::complete) self.learn_names(source, mechanism);
  }
  gss_release_name(&minor, &source);
  return step;
}

tds::Mechanism Acceptor::framing() const { return context_->framing.value_or(tds::Mechanism::none); }
const std::string &Acceptor::initiator() const { return context_->initiator; }
const std::string &Acceptor::spn() const { return context_->spn; }
std::uint32_t Acceptor::flags() const { return context_->flags; }
bool Acceptor::channel_bound() const { return context_->flags & GSS_C_CHANNEL_BOUND_FLAG; }
const NtlmAcceptor::Client *Acceptor::ntlm() const {
  return context_->ntlm_answered ? &context_->ntlm->client() : nullptr;
}
const std::string &Acceptor::scheme() const { return context_->scheme; }

tds::Bytes krb_error_token(int code) {
  krb5_context kerberos = nullptr;
  if (krb5_init_context(&kerberos) != 0) return {};
  krb5_error error{};
  error.error = static_cast<krb5_ui_4>(code);
  krb5_us_timeofday(kerberos, &error.stime, &error.susec);
  // A KRB-ERROR must name a server; which one, no client looks at.
  krb5_principal server = nullptr;
  krb5_data encoded{};
  tds::Bytes token;
  if (krb5_build_principal(kerberos, &server, 9, "CORP.TEST", "MSSQLSvc", nullptr) == 0) {
    error.server = server;
    if (krb5_mk_error(kerberos, &error, &encoded) == 0) {
      constexpr std::uint8_t token_id[] = {0x03, 0x00};
      token = der(
          0x60,
          {kerberos_oid, token_id, {reinterpret_cast<const std::uint8_t *>(encoded.data), encoded.length}});
    }
  }
  krb5_free_data_contents(kerberos, &encoded);
  krb5_free_principal(kerberos, server);
  krb5_free_context(kerberos);
  return token;
}

tds::Bytes spnego_reject(tds::ByteView mechanism_token) {
  constexpr std::uint8_t reject[] = {0x02};
  const auto state = der(0xA0, {der(0x0A, {reject})});
  const auto mechanism = der(0xA1, {kerberos_oid});
  const auto response = der(0xA2, {der(0x04, {mechanism_token})});
  return der(0xA1, {der(0x30, {state, mechanism, response})});
}

} // namespace lab

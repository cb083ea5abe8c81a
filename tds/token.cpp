#include "tds/token.hpp"

#include <algorithm>
#include <cassert>

namespace tds {

namespace {

constexpr std::uint8_t token_returnstatus = 0x79;
constexpr std::uint8_t token_error = 0xAA;
constexpr std::uint8_t token_info = 0xAB;
constexpr std::uint8_t token_loginack = 0xAD;
constexpr std::uint8_t token_featureextack = 0xAE;
constexpr std::uint8_t token_envchange = 0xE3;
constexpr std::uint8_t token_sessionstate = 0xE4;
constexpr std::uint8_t token_sspi = 0xED;
constexpr std::uint8_t token_fedauthinfo = 0xEE;
constexpr std::uint8_t token_done = 0xFD;
constexpr std::uint8_t token_doneproc = 0xFE;
constexpr std::uint8_t token_doneinproc = 0xFF;

Bytes owned(ByteView bytes) { return Bytes(bytes.begin(), bytes.end()); }

// --- Decoding. Each function gets the token's content, its length field already taken
// off, and reads it to the end.

Result<ServerMessage> decode_message(ByteView content, bool error, Version version) {
  Reader reader(content, error ? "ERROR" : "INFO");
  Fields in(reader);
  ServerMessage message;
  message.error = error;
  message.number = in.u32_le("Number");
  message.state = in.u8("State");
  message.severity = in.u8("Class");
  message.text = in.utf16(in.u16_le("MsgText"), "MsgText");
  message.server = in.utf16(in.u8("ServerName"), "ServerName");
  message.procedure = in.utf16(in.u8("ProcName"), "ProcName");
  message.line = version.at_least_7_2() ? in.u32_le("LineNumber") : in.u16_le("LineNumber");
  in.expect_end();
  return in.finish(std::move(message));
}

Result<LoginAck> decode_login_ack(ByteView content) {
  Reader reader(content, "LOGINACK");
  Fields in(reader);
  LoginAck ack;
  ack.interface = in.u8("Interface");
  ack.version.wire = in.u32_be("TDSVersion");
  ack.program = in.utf16(in.u8("ProgName"), "ProgName");
  std::ranges::copy(in.take(ack.program_version.size(), "ProgVersion"), ack.program_version.begin());
  in.expect_end();
  return in.finish(std::move(ack));
}

Result<EnvChange> decode_env_change(ByteView content) {
  Reader reader(content, "ENVCHANGE");
  Fields in(reader);
  EnvChange change;
  change.type = static_cast<EnvChangeType>(in.u8("Type"));
  change.data = owned(reader.rest());
  return in.finish(std::move(change));
}

// FEATUREEXTACK has no length of its own: it ends with 0xFF.
Result<FeatureExtAck> decode_feature_ext_ack(Reader &reader) {
  Fields in(reader);
  FeatureExtAck ack;
  while (in.ok()) {
    const auto id = in.u8("FEATUREEXTACK without its end (0xFF)");
    if (id == 0xFF) break;
    const auto size = in.u32_le("FEATUREEXTACK length");
    const auto data = in.take(size, "FEATUREEXTACK data");
    ack.features.push_back({static_cast<FeatureId>(id), owned(data)});
  }
  return in.finish(std::move(ack));
}

Result<Done> decode_done(Reader &reader, DoneKind kind, Version version) {
  Fields in(reader);
  Done done{.kind = kind};
  done.status = in.u16_le("DONE Status");
  done.command = in.u16_le("DONE CurCmd");
  done.row_count = version.at_least_7_2() ? in.u64_le("DONE RowCount") : in.u32_le("DONE RowCount");
  return in.finish(done);
}

template <class T> Result<Token> as_token(Result<T> result) {
  if (!result) return std::unexpected(std::move(result).error());
  return Token(*std::move(result));
}

// --- Encoding.

// The longest part of `text` that has at most `most` units and does not end within a surrogate pair.
std::u16string_view cut(std::u16string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  text = text.substr(0, most);
  if (!text.empty() && text.back() >= 0xD800 && text.back() <= 0xDBFF) text.remove_suffix(1);
  return text;
}

constexpr std::size_t longest_b_varchar = 255; // units

void b_varchar(Writer &out, std::u16string_view text) {
  text = cut(text, longest_b_varchar);
  out.u8(static_cast<std::uint8_t>(text.size()));
  out.utf16(text);
}

// Starts a token with a 16-bit length; its destructor writes the length when the content is there.
class Sized {
public:
  Sized(Writer &out, std::uint8_t type) : out_(out) {
    out_.u8(type);
    start_ = out_.size();
    out_.u16_le(0);
  }
  Sized(const Sized &) = delete;
  Sized &operator=(const Sized &) = delete;
  ~Sized() { out_.patch_u16_le(start_, static_cast<std::uint16_t>(out_.size() - start_ - 2)); }

private:
  Writer &out_;
  std::size_t start_ = 0;
};

struct Encoder {
  Writer &out;
  Version version;

  void operator()(const ServerMessage &message) const {
    const Sized sized(out, message.error ? token_error : token_info);
    const auto server = cut(message.server, longest_b_varchar);
    const auto procedure = cut(message.procedure, longest_b_varchar);
    const std::size_t line_size = version.at_least_7_2() ? 4 : 2;
    // Number, State, Class, the three lengths and the line; what is left of 65,535 bytes belongs to the text.
    const std::size_t others = 4 + 1 + 1 + 2 + 1 + 1 + line_size + 2 * (server.size() + procedure.size());
    const auto text = cut(message.text, (0xFFFF - others) / 2);

    out.u32_le(message.number);
    out.u8(message.state);
    out.u8(message.severity);
    out.u16_le(static_cast<std::uint16_t>(text.size()));
    out.utf16(text);
    b_varchar(out, server);
    b_varchar(out, procedure);
    if (version.at_least_7_2())
      out.u32_le(message.line);
    else
      out.u16_le(static_cast<std::uint16_t>(std::min<std::uint32_t>(message.line, 0xFFFF)));
  }

  void operator()(const LoginAck &ack) const {
    const Sized sized(out, token_loginack);
    out.u8(ack.interface);
    out.u32_be(ack.version.wire);
    b_varchar(out, ack.program);
    out.append(ack.program_version);
  }

  void operator()(const EnvChange &change) const {
    assert(change.data.size() < 0xFFFF);
    const Sized sized(out, token_envchange);
    out.u8(static_cast<std::uint8_t>(change.type));
    out.append(change.data);
  }

  void operator()(const FeatureExtAck &ack) const {
    out.u8(token_featureextack);
    for (const auto &feature : ack.features) {
      out.u8(static_cast<std::uint8_t>(feature.id));
      out.u32_le(static_cast<std::uint32_t>(feature.data.size()));
      out.append(feature.data);
    }
    out.u8(0xFF);
  }

  void operator()(const SspiToken &token) const {
    assert(token.data.size() <= 0xFFFF);
    const Sized sized(out, token_sspi);
    out.append(token.data);
  }

  void operator()(const Done &done) const {
    out.u8(static_cast<std::uint8_t>(done.kind));
    out.u16_le(done.status);
    out.u16_le(done.command);
    if (version.at_least_7_2())
      out.u64_le(done.row_count);
    else
      out.u32_le(static_cast<std::uint32_t>(std::min<std::uint64_t>(done.row_count, 0xFFFFFFFF)));
  }

  void operator()(const OpaqueToken &token) const {
    out.u8(token.type);
    if (token.type != token_returnstatus) out.u32_le(static_cast<std::uint32_t>(token.data.size()));
    out.append(token.data);
  }
};

// TDS 4.2 texts have one byte a character, in a character set that was never agreed:
// Latin-1, '?' for the rest.
Bytes eight_bit(std::u16string_view text, std::size_t longest) {
  Bytes out;
  for (const char16_t unit : text) {
    if (out.size() == longest) break;
    if (unit >= 0xDC00 && unit <= 0xDFFF) continue; // the first half of the pair was replaced
    out.push_back(unit <= 0xFF ? static_cast<std::uint8_t>(unit) : std::uint8_t{'?'});
  }
  return out;
}

void encode_tds4_error(Writer &out, const ServerMessage &message) {
  // The largest text that leaves room for everything else in the token's 16-bit length.
  constexpr std::size_t longest_text = 0xFFFF - (4 + 1 + 1 + 2 + 1 + 255 + 1 + 255 + 2);
  const Bytes text = eight_bit(message.text, longest_text);
  const Bytes server = eight_bit(message.server, 255);
  const Bytes procedure = eight_bit(message.procedure, 255);

  const Sized sized(out, token_error);
  out.u32_le(message.number);
  out.u8(message.state);
  out.u8(message.severity);
  out.u16_le(static_cast<std::uint16_t>(text.size()));
  out.append(text);
  out.u8(static_cast<std::uint8_t>(server.size()));
  out.append(server);
  out.u8(static_cast<std::uint8_t>(procedure.size()));
  out.append(procedure);
  out.u16_le(static_cast<std::uint16_t>(std::min<std::uint32_t>(message.line, 0xFFFF)));
}

} // namespace

std::u16string EnvChange::new_text() const {
  using enum EnvChangeType;
  if (type != database && type != language && type != packet_size && type != mirroring_partner) return {};
  Reader reader(data, "ENVCHANGE");
  Fields in(reader);
  return in.utf16(in.u8("NewValue"), "NewValue");
}

Result<Routing> decode_routing(const EnvChange &change) {
  Reader reader(change.data, "ENVCHANGE routing");
  Fields in(reader);
  const auto size = in.u16_le("RoutingDataValueLength");
  Reader value_reader(in.take(size, "RoutingDataValue"), "ENVCHANGE routing");
  if (in.u16_le("OldValue") != 0) in.reject("OldValue", "is not empty");
  in.expect_end();
  if (!in.ok()) return std::unexpected(in.finish(0).error());

  Fields value(value_reader);
  Routing routing;
  if (value.u8("Protocol") != 0) value.reject("Protocol", "is not 0 (TCP)");
  routing.port = value.u16_le("ProtocolProperty");
  if (routing.port == 0) value.reject("ProtocolProperty", "is port 0");
  routing.server = value.utf16(value.u16_le("AlternateServer"), "AlternateServer");
  if (routing.server.empty()) value.reject("AlternateServer", "is empty");
  routing.enhanced = change.type == EnvChangeType::enhanced_routing;
  if (routing.enhanced)
    routing.database = value.utf16(value.u16_le("AlternateDatabase"), "AlternateDatabase");
  value.expect_end();
  return value.finish(std::move(routing));
}

Result<Token> decode_token(Reader &in, Version version) {
  const std::size_t start = in.offset();
  const auto type = in.u8("token");
  if (!type) return std::unexpected(type.error());

  Fields fields(in);
  switch (*type) {
  case token_error:
  case token_info:
  case token_loginack:
  case token_envchange:
  case token_sspi: {
    const auto size = fields.u16_le("token length");
    const auto content = fields.take(size, "token");
    if (!fields.ok()) break;
    if (*type == token_loginack) return as_token(decode_login_ack(content));
    if (*type == token_envchange) return as_token(decode_env_change(content));
    if (*type == token_sspi) return SspiToken{owned(content)};
    return as_token(decode_message(content, *type == token_error, version));
  }
  case token_sessionstate:
  case token_fedauthinfo: {
    const auto size = fields.u32_le("token length");
    const auto content = fields.take(size, "token");
    return fields.finish(Token(OpaqueToken{*type, owned(content)}));
  }
  case token_returnstatus: {
    const auto content = fields.take(4, "RETURNSTATUS");
    return fields.finish(Token(OpaqueToken{*type, owned(content)}));
  }
  case token_featureextack:
    return as_token(decode_feature_ext_ack(in));
  case token_done:
  case token_doneproc:
  case token_doneinproc:
    return as_token(decode_done(in, static_cast<DoneKind>(*type), version));
  default:
    fields.fail({"login reply", "token",
                 "a token that has no place in a login reply (" + std::to_string(*type) + ")", start});
  }
  return fields.finish(Token{});
}

Result<std::vector<Token>> decode_tokens(ByteView payload, Version version) {
  Reader in(payload, "login reply");
  std::vector<Token> tokens;
  while (in.left() > 0) {
    auto token = decode_token(in, version);
    if (!token) return std::unexpected(std::move(token).error());
    tokens.push_back(*std::move(token));
  }
  return tokens;
}

void encode_token(Writer &out, const Token &token, Version version) {
  std::visit(Encoder{out, version}, token);
}

Bytes encode_tokens(const std::vector<Token> &tokens, Version version) {
  Writer out;
  for (const auto &token : tokens)
    encode_token(out, token, version);
  return std::move(out).bytes();
}

Bytes encode_refusal(const Dialect &dialect, const ServerMessage &message) {
  return encode_refusal(dialect, std::span(&message, 1));
}

Bytes encode_refusal(const Dialect &dialect, std::span<const ServerMessage> messages) {
  Writer out;
  for (ServerMessage error : messages) {
    error.error = true;
    if (dialect.tds4)
      encode_tds4_error(out, error);
    else
      encode_token(out, error, dialect.version);
  }
  // A 4.2 DONE has the size of a 7.0 one.
  encode_token(out, Done{.status = done_error}, dialect.tds4 ? tds_7_0 : dialect.version);
  return encode_message(PacketType::reply, out.bytes());
}

} // namespace tds

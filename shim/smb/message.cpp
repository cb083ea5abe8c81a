#include "shim/smb/message.hpp"

#include <algorithm>
#include <utility>

namespace shim::smb {
namespace {

constexpr std::uint16_t context_preauth = 1, context_encryption = 2, context_signing = 8, hash_sha512 = 1;

template <std::size_t N> std::array<std::uint8_t, N> array_of(ByteView bytes) {
  std::array<std::uint8_t, N> out{};
  if (bytes.size() == N) std::ranges::copy(bytes, out.begin());
  return out;
}

void zeros(tds::Writer &out, std::size_t count) { out.append(Bytes(count)); }

/// What begins at `offset` from the front of the message; empty where `length` is 0, whatever the offset.
Result<ByteView> part(ByteView message, std::size_t offset, std::size_t length, std::string_view where,
                      std::string_view field) {
  if (length == 0) return ByteView();
  if (offset < header_size || offset > message.size() || length > message.size() - offset)
    return std::unexpected(tds::Error{std::string(where), std::string(field), "points past the end", offset});
  return message.subspan(offset, length);
}

/// A reader behind the header, after the size that each body begins with.
struct Body {
  Body(ByteView message, std::string_view where, std::uint16_t size)
      : reader(message.subspan(std::min(header_size, message.size())), where), fields(reader) {
    if (fields.u16_le("StructureSize") != size && fields.ok()) fields.reject("StructureSize", "is wrong");
  }
  tds::Reader reader;
  tds::Fields fields;
};

std::size_t padded(std::size_t size) { return (size + 7) / 8 * 8; }

void pad(tds::Writer &out) { zeros(out, padded(out.size()) - out.size()); }

template <class Value>
void encode_context(tds::Writer &out, std::uint16_t type, const std::vector<Value> &values, ByteView salt) {
  const bool hashes = type == context_preauth;
  pad(out);
  out.u16_le(type);
  out.u16_le(static_cast<std::uint16_t>(2 + (hashes ? 2 : 0) + 2 * values.size() + salt.size()));
  out.u32_le(0);
  out.u16_le(static_cast<std::uint16_t>(values.size()));
  if (hashes) out.u16_le(static_cast<std::uint16_t>(salt.size()));
  for (const auto value : values)
    out.u16_le(static_cast<std::uint16_t>(value));
  out.append(salt);
}

/// One chosen value of a context: a server names exactly one.
std::uint16_t chosen(tds::Fields &fields, bool with_salt, std::uint16_t most) {
  const auto count = fields.u16_le("count");
  const auto salt = with_salt ? fields.u16_le("SaltLength") : std::uint16_t{};
  const auto value = fields.u16_le("choice");
  fields.take(salt, "Salt");
  if (fields.ok() && (count != 1 || value > most)) fields.reject("choice", "is none that was offered");
  return value;
}

Result<void> decode_context(NegotiateResponse &response, std::uint16_t type, ByteView data) {
  tds::Reader reader(data, "NEGOTIATE context");
  tds::Fields fields(reader);
  bool twice = false;
  if (type == context_preauth) {
    twice = response.preauth_sha512;
    response.preauth_sha512 = chosen(fields, true, hash_sha512) == hash_sha512;
  } else if (type == context_encryption) {
    twice = response.cipher.has_value();
    response.cipher = Cipher{chosen(fields, false, std::to_underlying(Cipher::aes256_gcm))};
  } else if (type == context_signing) {
    twice = response.signer.has_value();
    response.signer = Signer{chosen(fields, false, std::to_underlying(Signer::aes_gmac))};
  }
  if (twice) fields.reject("type", "came twice");
  if (auto done = fields.finish(true); !done) return std::unexpected(done.error());
  return {};
}

Result<void> decode_contexts(NegotiateResponse &response, ByteView message, std::size_t offset,
                             std::size_t count) {
  const auto fail = [&](std::string what) {
    return std::unexpected(tds::Error{"NEGOTIATE response", "NegotiateContextList", std::move(what), offset});
  };
  if (count > most_contexts) return fail("has " + std::to_string(count) + " entries");
  if (count > 0 && (offset < header_size || offset > message.size())) return fail("points past the end");
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) offset = padded(offset);
    if (offset > message.size()) return fail("ends too early");
    tds::Reader reader(message.subspan(offset), "NEGOTIATE context");
    tds::Fields fields(reader);
    const auto type = fields.u16_le("ContextType");
    const auto length = fields.u16_le("DataLength");
    fields.u32_le("Reserved");
    const auto data = fields.take(length, "Data");
    if (auto whole = fields.finish(true); !whole) return std::unexpected(whole.error());
    if (auto good = decode_context(response, type, data); !good) return good;
    offset += reader.offset();
  }
  return {};
}

} // namespace

void encode(tds::Writer &out, const Header &header) {
  out.append(std::array<std::uint8_t, 4>{0xfe, 'S', 'M', 'B'});
  out.u16_le(header_size);
  out.u16_le(header.charge);
  out.u32_le(std::to_underlying(header.status));
  out.u16_le(std::to_underlying(header.command));
  out.u16_le(header.credits);
  out.u32_le(header.flags);
  out.u32_le(header.next);
  out.u64_le(header.message_id);
  if (header.flags & flag_async) {
    out.u64_le(header.async_id);
  } else {
    out.u32_le(0);
    out.u32_le(header.tree_id);
  }
  out.u64_le(header.session_id);
  out.append(header.signature);
}

Result<Header> decode_header(ByteView message) {
  tds::Reader reader(message, "SMB2 header");
  tds::Fields fields(reader);
  Header header;
  if (fields.u32_be("ProtocolId") != 0xfe534d42) fields.reject("ProtocolId", "is not SMB2");
  if (fields.u16_le("StructureSize") != header_size) fields.reject("StructureSize", "is not 64");
  header.charge = fields.u16_le("CreditCharge");
  header.status = Status{fields.u32_le("Status")};
  header.command = Command{fields.u16_le("Command")};
  header.credits = fields.u16_le("Credits");
  header.flags = fields.u32_le("Flags");
  header.next = fields.u32_le("NextCommand");
  header.message_id = fields.u64_le("MessageId");
  if (header.flags & flag_async) {
    header.async_id = fields.u64_le("AsyncId");
  } else {
    fields.u32_le("Reserved");
    header.tree_id = fields.u32_le("TreeId");
  }
  header.session_id = fields.u64_le("SessionId");
  header.signature = array_of<16>(fields.take(16, "Signature"));
  return fields.finish(header);
}

void encode(tds::Writer &out, const Transform &transform) {
  out.append(std::array<std::uint8_t, 4>{0xfd, 'S', 'M', 'B'});
  out.append(transform.signature);
  out.append(transform.nonce);
  out.u32_le(transform.size);
  out.u16_le(0);
  out.u16_le(1);
  out.u64_le(transform.session_id);
}

Result<Transform> decode_transform(ByteView message) {
  tds::Reader reader(message, "SMB2 TRANSFORM_HEADER");
  tds::Fields fields(reader);
  Transform transform;
  if (fields.u32_be("ProtocolId") != 0xfd534d42)
    fields.reject("ProtocolId", "is not that of a sealed message");
  transform.signature = array_of<16>(fields.take(16, "Signature"));
  transform.nonce = array_of<16>(fields.take(16, "Nonce"));
  transform.size = fields.u32_le("OriginalMessageSize");
  fields.u16_le("Reserved");
  if (fields.u16_le("Flags") != 1 && fields.ok()) fields.reject("Flags", "is not 1");
  transform.session_id = fields.u64_le("SessionId");
  if (fields.ok() && transform.size != reader.left())
    fields.reject("OriginalMessageSize", "is not what follows");
  return fields.finish(transform);
}

void encode(tds::Writer &out, const NegotiateRequest &request) {
  const bool newest = std::ranges::find(request.dialects, Dialect::v311) != request.dialects.end();
  out.u16_le(36);
  out.u16_le(static_cast<std::uint16_t>(request.dialects.size()));
  out.u16_le(request.mode);
  out.u16_le(0);
  out.u32_le(request.capabilities);
  out.append(request.client);
  const std::size_t contexts = padded(header_size + 36 + 2 * request.dialects.size());
  out.u32_le(newest ? static_cast<std::uint32_t>(contexts) : 0);
  out.u16_le(newest ? static_cast<std::uint16_t>(1 + !request.ciphers.empty() + !request.signers.empty())
                    : 0);
  out.u16_le(0);
  for (const auto dialect : request.dialects)
    out.u16_le(std::to_underlying(dialect));
  if (!newest) return;
  encode_context<std::uint16_t>(out, context_preauth, {hash_sha512}, request.salt);
  if (!request.ciphers.empty()) encode_context(out, context_encryption, request.ciphers, {});
  if (!request.signers.empty()) encode_context(out, context_signing, request.signers, {});
}

void encode(tds::Writer &out, const SessionSetupRequest &request) {
  out.u16_le(25);
  out.u8(0);
  out.u8(request.mode);
  out.u32_le(0);
  out.u32_le(0);
  out.u16_le(header_size + 24);
  out.u16_le(static_cast<std::uint16_t>(request.token.size()));
  out.u64_le(0);
  out.append(request.token);
}

void encode(tds::Writer &out, const TreeConnectRequest &request) {
  out.u16_le(9);
  out.u16_le(0);
  out.u16_le(header_size + 8);
  out.u16_le(static_cast<std::uint16_t>(2 * request.path.size()));
  out.utf16(request.path);
}

void encode(tds::Writer &out, const CreateRequest &request) {
  constexpr std::uint32_t impersonation = 2, access = 0x0012019f, share_all = 3, open_existing = 1;
  out.u16_le(57);
  out.u8(0);
  out.u8(0);
  out.u32_le(impersonation);
  zeros(out, 16);
  out.u32_le(access);
  out.u32_le(0);
  out.u32_le(share_all);
  out.u32_le(open_existing);
  out.u32_le(0);
  out.u16_le(header_size + 56);
  out.u16_le(static_cast<std::uint16_t>(2 * request.name.size()));
  zeros(out, 8);
  out.utf16(request.name);
}

void encode(tds::Writer &out, const CloseRequest &request) {
  out.u16_le(24);
  zeros(out, 6);
  out.append(request.file);
}

void encode(tds::Writer &out, const ReadRequest &request) {
  out.u16_le(49);
  out.u8(header_size + 16); // where the answer's data are wanted
  out.u8(0);
  out.u32_le(request.length);
  out.u64_le(0);
  out.append(request.file);
  zeros(out, 16);
  out.u8(0);
}

void encode(tds::Writer &out, const WriteRequest &request) {
  out.u16_le(49);
  out.u16_le(header_size + 48);
  out.u32_le(static_cast<std::uint32_t>(request.data.size()));
  out.u64_le(0);
  out.append(request.file);
  zeros(out, 16);
  out.append(request.data);
}

void encode(tds::Writer &out, const IoctlRequest &request) {
  out.u16_le(57);
  out.u16_le(0);
  out.u32_le(request.code);
  out.append(request.file);
  out.u32_le(header_size + 56);
  out.u32_le(static_cast<std::uint32_t>(request.input.size()));
  out.u32_le(0);
  zeros(out, 8);
  out.u32_le(request.most_output);
  out.u32_le(1); // a file system's control
  out.u32_le(0);
  out.append(request.input);
}

void encode_empty(tds::Writer &out) {
  out.u16_le(4);
  out.u16_le(0);
}

Bytes encode_pipe_wait(std::u16string_view name, std::uint64_t milliseconds) {
  tds::Writer out;
  out.u64_le(milliseconds * 10'000);
  out.u32_le(static_cast<std::uint32_t>(2 * name.size()));
  out.u8(1);
  out.u8(0);
  out.utf16(name);
  return std::move(out).bytes();
}

Bytes encode_validate_negotiate(const NegotiateRequest &request) {
  tds::Writer out;
  out.u32_le(request.capabilities);
  out.append(request.client);
  out.u16_le(request.mode);
  out.u16_le(static_cast<std::uint16_t>(request.dialects.size()));
  for (const auto dialect : request.dialects)
    out.u16_le(std::to_underlying(dialect));
  return std::move(out).bytes();
}

Result<NegotiateResponse> decode_negotiate_response(ByteView message) {
  Body body(message, "NEGOTIATE response", 65);
  auto &fields = body.fields;
  NegotiateResponse response;
  response.mode = fields.u16_le("SecurityMode");
  response.dialect = Dialect{fields.u16_le("DialectRevision")};
  if (fields.ok() && std::ranges::find(all_dialects, response.dialect) == all_dialects.end())
    fields.reject("DialectRevision", "is none that is known");
  const auto contexts = fields.u16_le("NegotiateContextCount");
  response.server = array_of<16>(fields.take(16, "ServerGuid"));
  response.capabilities = fields.u32_le("Capabilities");
  response.largest_transact = fields.u32_le("MaxTransactSize");
  response.largest_read = fields.u32_le("MaxReadSize");
  response.largest_write = fields.u32_le("MaxWriteSize");
  fields.take(16, "SystemTime, ServerStartTime");
  const auto token_offset = fields.u16_le("SecurityBufferOffset");
  const auto token_length = fields.u16_le("SecurityBufferLength");
  const auto context_offset = fields.u32_le("NegotiateContextOffset");
  if (auto whole = fields.finish(true); !whole) return std::unexpected(whole.error());
  // The server's hint of mechanisms is not signed and not needed; it must be inside all the same.
  if (auto token = part(message, token_offset, token_length, "NEGOTIATE response", "SecurityBuffer"); !token)
    return std::unexpected(token.error());
  if (response.dialect == Dialect::v311)
    if (auto good = decode_contexts(response, message, context_offset, contexts); !good)
      return std::unexpected(good.error());
  return response;
}

Result<SessionSetupResponse> decode_session_setup_response(ByteView message) {
  Body body(message, "SESSION_SETUP response", 9);
  SessionSetupResponse response;
  response.flags = body.fields.u16_le("SessionFlags");
  const auto offset = body.fields.u16_le("SecurityBufferOffset");
  const auto length = body.fields.u16_le("SecurityBufferLength");
  if (auto whole = body.fields.finish(true); !whole) return std::unexpected(whole.error());
  const auto token = part(message, offset, length, "SESSION_SETUP response", "SecurityBuffer");
  if (!token) return std::unexpected(token.error());
  response.token.assign(token->begin(), token->end());
  return response;
}

Result<TreeConnectResponse> decode_tree_connect_response(ByteView message) {
  Body body(message, "TREE_CONNECT response", 16);
  TreeConnectResponse response;
  response.type = body.fields.u8("ShareType");
  body.fields.u8("Reserved");
  response.flags = body.fields.u32_le("ShareFlags");
  body.fields.take(8, "Capabilities, MaximalAccess");
  return body.fields.finish(response);
}

Result<FileId> decode_create_response(ByteView message) {
  Body body(message, "CREATE response", 89);
  body.fields.take(62, "what stands before FileId");
  const auto file = array_of<16>(body.fields.take(16, "FileId"));
  body.fields.take(8, "CreateContexts");
  return body.fields.finish(file);
}

Result<ByteView> decode_read_response(ByteView message) {
  Body body(message, "READ response", 17);
  const auto offset = body.fields.u8("DataOffset");
  body.fields.u8("Reserved");
  const auto length = body.fields.u32_le("DataLength");
  body.fields.take(8, "DataRemaining, Flags");
  if (auto whole = body.fields.finish(true); !whole) return std::unexpected(whole.error());
  return part(message, offset, length, "READ response", "Data");
}

Result<std::uint32_t> decode_write_response(ByteView message) {
  Body body(message, "WRITE response", 17);
  body.fields.u16_le("Reserved");
  const auto count = body.fields.u32_le("Count");
  return body.fields.finish(count);
}

Result<ByteView> decode_ioctl_response(ByteView message) {
  Body body(message, "IOCTL response", 49);
  body.fields.u16_le("Reserved");
  body.fields.u32_le("CtlCode");
  body.fields.take(16, "FileId");
  body.fields.take(8, "InputOffset, InputCount");
  const auto offset = body.fields.u32_le("OutputOffset");
  const auto count = body.fields.u32_le("OutputCount");
  if (auto whole = body.fields.finish(true); !whole) return std::unexpected(whole.error());
  return part(message, offset, count, "IOCTL response", "Output");
}

Result<ValidateNegotiateResponse> decode_validate_negotiate_response(ByteView output) {
  tds::Reader reader(output, "VALIDATE_NEGOTIATE_INFO response");
  tds::Fields fields(reader);
  ValidateNegotiateResponse response;
  response.capabilities = fields.u32_le("Capabilities");
  response.server = array_of<16>(fields.take(16, "Guid"));
  response.mode = fields.u16_le("SecurityMode");
  response.dialect = fields.u16_le("Dialect");
  fields.expect_end();
  return fields.finish(response);
}

} // namespace shim::smb

#include "tools/lab/peer/pipe.hpp"

#include <array>
#include <fmt/format.h>

namespace lab {
namespace {

constexpr std::uint32_t level_of_samba_4_17 = 7;
constexpr std::uint32_t largest_request = 64 * 1024; // a user of many groups has a long one
constexpr std::array<std::uint8_t, 4> magic{'N', 'P', 'A', 'M'};

/// NDR (C706 14), as far as the request needs it: what a pointer points to comes after the structure that
/// holds the pointer, in the order of the pointers.
class Ndr {
public:
  explicit Ndr(tds::ByteView bytes) : reader_(bytes, "NPAM"), fields_(reader_) {}

  void align(std::size_t to) {
    const auto over = reader_.offset() % to;
    if (over) fields_.take(to - over, "padding");
  }
  void skip(std::size_t count, std::string_view field) { fields_.take(count, field); }
  std::uint16_t u16(std::string_view field) { return fields_.u16_le(field); }
  std::uint32_t u32(std::string_view field) {
    align(4);
    return fields_.u32_le(field);
  }
  bool pointer(std::string_view field) { return u32(field) != 0; }
  /// Conformant and varying, with its NUL.
  std::string text(std::string_view field) {
    u32("maximum");
    u32("offset");
    const auto bytes = fields_.take(u32("count"), field);
    return {bytes.begin(), std::ranges::find(bytes, std::uint8_t{0})};
  }
  std::string text_of(bool pointer, std::string_view field) { return pointer ? text(field) : std::string(); }
  /// revision(1) count(1) authority(6), then `count` times 4
  void sid() {
    align(4);
    const auto head = fields_.take(8, "SID");
    if (head.size() == 8) fields_.take(std::size_t{4} * head[1], "subauthorities");
  }
  void reject(std::string_view field, std::string what) { fields_.reject(field, std::move(what)); }
  bool ok() const { return fields_.ok(); }
  std::expected<PipeUser, std::string> finish(PipeUser user) const {
    auto result = fields_.finish(std::move(user));
    if (!result) return std::unexpected(result.error().text());
    return *std::move(result);
  }

private:
  tds::Reader reader_;
  tds::Fields fields_;
};

/// security_token: num_sids, the SIDs, privileges(8), rights(4)
void skip_token(Ndr &ndr) {
  ndr.align(8);
  const auto sids = ndr.u32("SIDs");
  if (ndr.u32("num_sids") != sids) ndr.reject("num_sids", "is not the size of its array");
  for (std::uint32_t sid = 0; sid < sids && ndr.ok(); ++sid)
    ndr.sid();
  ndr.align(8);
  ndr.skip(8, "privileges");
  ndr.u32("rights");
}

/// security_unix_token: uid(8) gid(8) ngroups(4), groups of 8
void skip_unix_token(Ndr &ndr) {
  const auto groups = ndr.u32("groups");
  ndr.align(8);
  ndr.skip(16, "uid, gid");
  if (ndr.u32("ngroups") != groups) ndr.reject("ngroups", "is not the size of its array");
  ndr.align(8);
  ndr.skip(std::size_t{8} * groups, "groups");
}

/// auth_user_info, of which the account and its domain count.
void read_user(Ndr &ndr, PipeUser &user) {
  const bool account = ndr.pointer("account");
  const bool principal = ndr.pointer("principal");
  ndr.u32("principal is made up");
  const bool domain = ndr.pointer("domain");
  for (int more = 0; more < 7; ++more) // from the DNS domain to the logon server
    ndr.u32("name");
  ndr.skip(6 * 8, "times"); // not aligned to 8
  ndr.skip(2 * 2 + 4, "counts and flags");
  ndr.skip(1, "authenticated");
  user.account = ndr.text_of(account, "account");
  ndr.text_of(principal, "principal");
  user.domain = ndr.text_of(domain, "domain");
}

} // namespace

std::expected<PipeUser, std::string> decode_pipe_request(tds::ByteView request) {
  Ndr ndr(request);
  PipeUser user;
  ndr.skip(4, "length");
  if (request.size() < 12 || !std::ranges::equal(request.subspan(4, 4), magic))
    return std::unexpected("its request is no NPAM");
  ndr.skip(4, "magic");
  const auto level = ndr.u32("level");
  if (level != level_of_samba_4_17)
    return std::unexpected(fmt::format("its request is of level {}, and this lab knows {} (Samba 4.17) alone",
                                       level, level_of_samba_4_17));
  ndr.u32("level");
  ndr.u32("transport");
  const bool client_name = ndr.pointer("client name");
  const bool client_address = ndr.pointer("client address");
  ndr.u16("client port");
  const bool server_name = ndr.pointer("server name");
  const bool server_address = ndr.pointer("server address");
  ndr.u16("server port");
  const bool session = ndr.pointer("session");
  ndr.text_of(client_name, "client name");
  user.client_address = ndr.text_of(client_address, "client address");
  ndr.text_of(server_name, "server name");
  ndr.text_of(server_address, "server address");
  if (!session || !ndr.pointer("session info")) return ndr.finish(user);

  ndr.skip(ndr.u32("GSSAPI credentials"), "GSSAPI credentials");
  const bool token = ndr.pointer("token"), unix_token = ndr.pointer("unix token");
  const bool info = ndr.pointer("user");
  ndr.pointer("unix user");
  ndr.pointer("torture");
  ndr.skip(ndr.u32("session key"), "session key");
  ndr.pointer("credentials");
  ndr.align(4);
  ndr.skip(16, "GUID");
  ndr.u32("ticket type");
  if (token) skip_token(ndr);
  if (unix_token) skip_unix_token(ndr);
  if (info) read_user(ndr, user);
  return ndr.finish(user);
}

tds::Bytes encode_pipe_answer() {
  constexpr std::uint16_t byte_mode = 1;      // FILE_TYPE_BYTE_MODE_PIPE
  constexpr std::uint16_t device_state = 255; // as many instances as one likes
  constexpr std::uint64_t allocation = 4096;
  tds::Writer body;
  body.append(magic);
  body.u32_le(level_of_samba_4_17);
  body.u32_le(level_of_samba_4_17);
  body.u16_le(byte_mode);
  body.u16_le(device_state);
  body.u32_le(0); // padding
  body.u64_le(allocation);
  body.u32_le(0); // STATUS_SUCCESS
  tds::Writer answer;
  answer.u32_be(static_cast<std::uint32_t>(body.size()));
  answer.append(body.bytes());
  return std::move(answer).bytes();
}

shim::Task<std::expected<PipeUser, std::string>> read_pipe_user(shim::Socket &socket) {
  tds::Bytes request(4);
  auto [error, count] = co_await asio::async_read(socket, asio::buffer(request), shim::as_result);
  const auto length =
      std::uint32_t{request[0]} << 24 | request[1] << 16 | std::uint32_t{request[2]} << 8 | request[3];
  if (error || length > largest_request) co_return std::unexpected("it sent no request");
  request.resize(4 + length);
  auto [rest_error, rest] =
      co_await asio::async_read(socket, asio::buffer(request.data() + 4, length), shim::as_result);
  if (rest_error) co_return std::unexpected("it closed within its request");
  auto user = decode_pipe_request(request);
  if (!user) co_return user;
  const auto answer = encode_pipe_answer();
  auto [write_error, written] = co_await asio::async_write(socket, asio::buffer(answer), shim::as_result);
  if (write_error) co_return std::unexpected("it closed before our answer");
  co_return user;
}

} // namespace lab

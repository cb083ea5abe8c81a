// How Samba's smbd hands a named pipe over: it connects to a Unix socket named as the pipe is, says who the
// user of the SMB session is ("NPAM"), and after our answer moves the pipe's bytes to and fro as they are.
#pragma once

#include "shim/transport/task.hpp"
#include "tds/bytes.hpp"

#include <expected>
#include <string>

namespace lab {

/// The user of an SMB session, as smbd proved it.
struct PipeUser {
  std::string account; ///< "alice"
  std::string domain;  ///< "CORP" by Kerberos; by NTLM the server's own name, where the account is
  std::string client_address;
  bool operator==(const PipeUser &) const = default;
};

/// smbd's request, with its length in front. Level 7, which is Samba 4.17's; the error says what is wrong.
std::expected<PipeUser, std::string> decode_pipe_request(tds::ByteView request);
/// The answer: a pipe in byte mode.
tds::Bytes encode_pipe_answer();

/// Reads the request and answers it.
shim::Task<std::expected<PipeUser, std::string>> read_pipe_user(shim::Socket &socket);

} // namespace lab

// One connection to an SMB server: messages out, framed and signed or sealed; messages in, each checked
// before anybody sees it. Never waits, knows no socket.
#pragma once

#include "shim/smb/crypto.hpp"

#include <map>

namespace shim::smb {

enum class Fault {
  closed,             ///< the server went away
  dialect_refused,    ///< none in common, or the one that it chose is not what it would have chosen
  signing_refused,    ///< a signature that is missing or wrong, a message that was changed or replayed
  encryption_refused, ///< asked for and not to be had, or the other way round
  guest_refused,      ///< it would take us for a guest, or for nobody
  logon_failure,
  access_denied, ///< to IPC$ or to the pipe
  pipe_missing,
  pipe_busy,
  protocol_violation,
  server_error, ///< any other status
};
struct Failure {
  Fault fault{};
  std::string detail;
};
template <class T> using Expected = std::expected<T, Failure>;

/// A final answer to a request of ours.
struct Reply {
  Header header;
  Bytes message; ///< header and body
};

class Channel {
public:
  static constexpr std::uint32_t most_credits = 512;
  static constexpr int most_interims = 4; ///< of one request

  /// Whether a request may go out now.
  bool has_credit() const { return credits_ > 0; }
  /// Sends one, which takes a credit. The id of its answer.
  template <class Request> std::uint64_t request(Command command, const Request &body) {
    tds::Writer out;
    encode(out, next_header(command));
    encode(out, body);
    return post(std::move(out).bytes());
  }
  std::uint64_t request(Command command); ///< LOGOFF
  /// Asks for the answer to a request that is pending; takes no credit.
  void cancel(std::uint64_t id);
  /// Whether an answer is still to come, and has been said to take its time.
  bool is_pending(std::uint64_t id) const;
  /// The last request as it was signed: for the preauthentication hash.
  const Bytes &last_request() const { return last_request_; }

  /// From here on everything is signed and every answer must be.
  void protect(Keys keys, Signer signer, Cipher cipher);
  /// From here on everything is sealed, too, both ways.
  void seal_all() { sealed_ = true; }
  bool sealed() const { return sealed_; }
  /// Whether a message that came before the keys is signed by them.
  bool is_signed(const Reply &reply) const;

  std::uint64_t session_id = 0;
  std::uint32_t tree_id = 0;

  ByteView output() const { return ByteView(output_).subspan(sent_); }
  void sent(std::size_t count);
  void receive(ByteView bytes) { input_.insert(input_.end(), bytes.begin(), bytes.end()); }
  /// The next answer that has come whole. An error is final.
  Expected<std::optional<Reply>> next_reply();

private:
  struct Asked {
    Command command{};
    int interims = 0;
    std::uint64_t async_id = 0;
  };
  Header next_header(Command command) const;
  std::uint64_t post(Bytes message);
  void put_out(Bytes message);
  /// As it was before it was sealed, or as it came; checked.
  Expected<Bytes> unwrap(Bytes message) const;
  Expected<std::optional<Reply>> take(Bytes message);
  Expected<void> check_signature(const Header &header, ByteView message) const;

  std::uint64_t next_id_ = 0;
  std::uint64_t seal_counter_ = 0;
  std::uint32_t credits_ = 1;
  std::map<std::uint64_t, Asked> asked_;
  std::optional<Keys> keys_;
  Signer signer_{};
  Cipher cipher_{};
  bool sealed_ = false;
  Bytes last_request_;
  Bytes output_;
  std::size_t sent_ = 0;
  Bytes input_;
  std::size_t used_ = 0;
};

} // namespace shim::smb

// A blocking TDS client for tests: logs in with user and password, sends a batch, reads the reply. For what
// tsql cannot be made to send.
#pragma once

#include "tds/connect_login.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace test {

/// A TCP connection (IPv4 or IPv6) that closes itself; reads and writes give up after ten seconds.
/// Under TLS after `start_tls`.
class Connection {
public:
  Connection(const std::string &address, std::uint16_t port);
  explicit Connection(int fd); ///< takes over a connected socket
  ~Connection();
  Connection(const Connection &) = delete;

  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  std::uint16_t local_port() const;
  void send(tds::ByteView bytes);
  /// What comes next, at least one byte; empty at the end of the stream or after ten seconds.
  tds::Bytes receive();
  /// Everything until the other side closes.
  tds::Bytes receive_all();
  void close();
  void shut_down(); ///< both ways; the descriptor stays: also from another thread
  void reset();     ///< closes so that the other side reads a reset

  /// A handshake as client (OpenSSL over memory, nothing of sqlshim's own), that takes any certificate.
  /// False: it failed, `tls_error` says why.
  bool start_tls(tds::TlsFraming framing);
  /// From here on in clear again, without a byte on the wire.
  void stop_tls();
  std::string tls_error() const { return tls_error_; }
  /// What goes on the wire right behind the handshake's last flight, in clear: for tests of injection.
  void inject_behind_handshake(tds::Bytes bytes) { injected_ = std::move(bytes); }
  /// As they are, past TLS.
  void send_raw(tds::ByteView bytes);

private:
  struct Tls;
  tds::Bytes receive_raw();

  int fd_ = -1;
  std::unique_ptr<Tls> tls_;
  tds::Bytes room_ = tds::Bytes(65536);
  tds::Bytes ahead_; // read and not used
  tds::Bytes injected_;
  std::string tls_error_;
};

/// What a login came to.
struct Login {
  std::optional<tds::LoginReply> reply;
  std::optional<tds::ConnectRefused> refused;
  std::vector<tds::ServerMessage> messages;
  tds::Bytes challenge = {}; ///< that answered NTLM's first token
  /// The text of the ERROR that refused it: sqlshim's own, else the first; empty where there is none.
  std::string error() const;
};

struct ClientOptions {
  std::u16string user = u"x", password = u"y", database = {}, app = u"tds_client", server = u"sqlshim",
                 library = u"test";
  bool mars = false;
  bool prelogin = true;
  tds::ServerTls tls = tds::ServerTls::off; ///< what the client asks for
  tds::Version version = tds::tds_7_4;
  std::vector<tds::Feature> features = {};
  std::u16string new_password = {}; ///< asks to change it
  tds::Bytes sspi = {};             ///< a token of the client's own: asks for integrated login
  tds::Bytes ntlm_answer = {'N', 'T', 'L', 'M', 'S', 'S', 'P', 0, 3, 0, 0, 0}; ///< to the challenge
};

tds::Login7 make_login7(const ClientOptions &options);
Login log_in(Connection &connection, const ClientOptions &options = {});
/// Sends a batch, and reads nothing.
void send_batch(Connection &connection, std::u16string_view batch, tds::Version version = tds::tds_7_4);
/// Sends a batch and returns the payload of the whole reply message.
tds::Bytes query(Connection &connection, std::u16string_view batch, tds::Version version = tds::tds_7_4);

/// Whether a reply holds a text, as UTF-16LE, anywhere.
bool says(tds::ByteView reply, std::u16string_view text);

} // namespace test

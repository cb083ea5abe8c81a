// A server whose side of each conversation a test writes down.
#pragma once

#include "tests/support/tds_client.hpp"

#include <functional>
#include <memory>

namespace test {

/// Runs `script` for each connection, on a thread of its own; the connection closes when it returns. Reads
/// and writes in it give up after ten seconds.
class ScriptedServer {
public:
  using Script = std::function<void(Connection &)>;
  /// Listens at once. `port` 0: the kernel chooses. Throws std::runtime_error where it cannot.
  ScriptedServer(const std::string &address, std::uint16_t port, Script script = {});
  /// Ends every conversation, and waits for its script.
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer &) = delete;
  ScriptedServer &operator=(const ScriptedServer &) = delete;

  std::uint16_t port() const;
  int connections() const; ///< that came so far
  /// From the next connection on.
  void set_script(Script script);

private:
  struct State;
  std::shared_ptr<State> state_;
};

/// What a TDS server does with a connection, step by step.
class TdsServerSide {
public:
  explicit TdsServerSide(Connection &connection) : connection_(connection), reader_(1 << 20) {}

  /// Reads a message; an empty one where none came.
  tds::Message read();
  /// Reads PRELOGIN and answers it, without TLS.
  void prelogin();
  /// Reads LOGIN7.
  tds::Login7 login();
  void say(tds::ByteView payload); ///< one reply message
  void say(const std::vector<tds::Token> &tokens);
  void send(tds::ByteView bytes) { connection_.send(bytes); } ///< no TDS of ours

private:
  Connection &connection_;
  tds::MessageReader reader_;
};

/// LOGINACK and DONE for TDS 7.4, as a server accepts a login.
std::vector<tds::Token> login_accepted();
tds::Token done(std::uint16_t status = 0);
/// ENVCHANGE 20: go to `server` over TCP (MS-TDS 2.2.7.9).
tds::Token routing(std::u16string_view server, std::uint16_t port);

} // namespace test

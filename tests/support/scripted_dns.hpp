// A DNS server in front of a real one: it answers as a test says, or passes the question on.
#pragma once

#include "tds/bytes.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace test {

/// Serves UDP and TCP on one port until destruction.
class ScriptedDns {
public:
  struct Question {
    tds::Bytes message;
    bool tcp = false;
    std::function<tds::Bytes()> real; ///< the real server's answer, by the same transport
  };
  /// nullopt: silence.
  using Script = std::function<std::optional<tds::Bytes>(const Question &)>;
  /// `address` to listen on; the real server is at `real_address`, `real_port`. Throws
  /// std::runtime_error where it cannot.
  ScriptedDns(const std::string &address, std::string real_address, std::uint16_t real_port);
  ~ScriptedDns();
  ScriptedDns(const ScriptedDns &) = delete;
  ScriptedDns &operator=(const ScriptedDns &) = delete;

  std::string place() const; ///< "127.A.B.4:40001"
  int questions() const;     ///< over UDP, so far
  int questions_over_tcp() const;
  /// From the next question on; null: everything is passed on.
  void set_script(Script script);

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace test

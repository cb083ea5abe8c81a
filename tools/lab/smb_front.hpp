// A TCP port in front of a real SMB server, between it and its client, that does what an attacker on the way
// could: for what no real server does when it is asked to.
#pragma once

#include "tds/bytes.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace lab {

/// MS-SMB2 2.2.1.2, as far as a client of pipes uses them.
enum class SmbCommand : std::uint16_t {
  negotiate = 0,
  session_setup = 1,
  logoff = 2,
  tree_connect = 3,
  tree_disconnect = 4,
  create = 5,
  close = 6,
  read = 8,
  write = 9,
  ioctl = 11,
  cancel = 12,
};

/// What the front does to one message.
enum class SmbMischief {
  none,
  flip_signature,    ///< one bit of it is another
  strip_signature,   ///< zeros, and the flag that says "signed" is gone
  flip_payload,      ///< one bit of the last byte is another
  replay,            ///< it comes twice
  truncate,          ///< its last byte is missing; the length in front of it is right
  lie_about_length,  ///< the length in front says 16 MiB
  set_guest,         ///< an answer to SESSION_SETUP makes its client a guest
  downgrade_request, ///< a NEGOTIATE offers no dialect above 2.1
  downgrade_answer,  ///< the answer to a NEGOTIATE says 2.1
  hold_back,         ///< it does not come, nor does anything after it
  close,             ///< the connection is closed instead
};

struct SmbFrontOptions {
  std::string address = {}; ///< to listen on
  std::uint16_t port = 0;   ///< 0: the kernel chooses
  std::string smb_address = {};
  std::uint16_t smb_port = 445;

  SmbMischief mischief = SmbMischief::none;
  /// Which message it is done to, on each connection: the first with this command that the server sends
  /// (`downgrade_request`: that the client sends), or the `which`th. Encrypted messages show no command: they
  /// count as `encrypted`, if that is set.
  SmbCommand command = SmbCommand::read;
  int which = 1;
  bool encrypted = false;
};

/// `message` as the client gets it: none, one or two of them. Pure; not of hold_back, close and lengths.
std::vector<tds::Bytes> with_mischief(SmbMischief mischief, tds::Bytes message);

/// Serves on a thread of its own until destruction. Throws LabError when the port cannot be opened.
class SmbFront {
public:
  explicit SmbFront(SmbFrontOptions options);
  ~SmbFront();
  SmbFront(const SmbFront &) = delete;
  SmbFront &operator=(const SmbFront &) = delete;

  std::uint16_t port() const;
  int connections() const; ///< that came so far
  int done() const;        ///< how often the mischief was done

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace lab

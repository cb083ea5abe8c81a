// After the login: bytes both ways until one side ends. Not a coroutine but a small state object: an idle
// connection costs two pending waits and no buffer.
#pragma once

#include "shim/transport/stream.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace shim {

/// How a relay ended. `up`: bytes towards the server; `down`: towards the client.
struct RelayEnd {
  std::string by;     ///< "client", "server", "us"
  std::string reason; ///< "closed", the socket error's text, "idle", "shutdown", "out of memory"
  std::uint64_t up = 0, down = 0;
};

/// Moves bytes unchanged and unframed, each leg in clear or under TLS: an attention goes out as soon as
/// it comes in, whatever is queued the other way. Half-close is passed on: when one side has sent its
/// last byte, the other is told so and may go on sending. Ends when both have, or at the first error.
/// Lives on its io_context's thread.
class Relay : public std::enable_shared_from_this<Relay> {
public:
  /// `idle`: ends the relay when nothing has moved either way for so long; 0: never.
  Relay(Stream client, Stream server, Millis idle, std::function<void(RelayEnd)> ended);
  void start();
  /// Ends it from outside (shutdown). `ended` is called, once, before this returns.
  void stop(const std::string &reason);
  /// Bytes so far.
  std::uint64_t up() const { return up_.moved; }
  std::uint64_t down() const { return down_.moved; }

private:
  struct Direction {
    Stream &from, &to;
    const char *reader; ///< whose end it is when reading fails: "client" or "server"
    const char *writer; ///< and when writing does
    std::uint64_t moved = 0;
    std::vector<char> unsent = {}; ///< only while the receiver is slower than the sender
    boost::system::error_code error =
        {};             ///< what reading has come to behind bytes that are still to be written
    bool ended = false; ///< `from` has sent its last byte, and `to` has been told
  };

  /// `next` once `direction` may be read from or written to (`end`: which of its streams waits).
  enum class At { from, to };
  void wait_at(At end, Wait wait, Direction &direction, void (Relay::*next)(Direction &));
  void pump(Direction &direction);
  /// What there is to read, up to the buffer's size.
  static Moved read_some(Direction &direction, char *buffer);
  void pump_later(Direction &direction); ///< after the others of this thread have had their turn
  void send_unsent(Direction &direction);
  /// A step of this relay; where there is no memory for it, this relay ends and no other.
  template <class Step> void with_memory(Step step);
  /// Writes what can be written without waiting; `written.wait`: what the rest waits for. False: an
  /// error, and the relay has ended.
  bool write_some(Direction &direction, const char *data, std::size_t size, Moved &written);
  void finish_direction(Direction &direction);
  void arm_idle();
  void end(const char *by, const std::string &reason);

  Stream client_, server_;
  Direction up_, down_;
  Millis idle_;
  Timer timer_;
  bool moved_since_ = false;
  std::function<void(RelayEnd)> ended_;
};

} // namespace shim

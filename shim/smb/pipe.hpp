// A named pipe on an SMB session that stands: bytes both ways, one READ always pending, one WRITE for each
// TDS packet. Never waits.
#pragma once

#include "shim/smb/session.hpp"

namespace shim::smb {

/// How many bytes from the front are one unit that a pipe of messages must get in one piece: a TDS packet or
/// a TLS record. 0: it is not whole yet. What is neither goes on as it is.
std::size_t whole_unit(ByteView bytes);

class Pipes;

/// Owned by whoever uses it; known to `Pipes`, which must outlive it.
class Pipe {
public:
  enum class State { opening, waiting, open, closed, failed };
  static constexpr int most_waits = 10; ///< for a pipe whose instances are all busy
  static constexpr std::uint64_t wait_milliseconds = 500;
  static constexpr std::size_t most_unsent = 64 * 1024; ///< bytes that are taken before the server has them
  static constexpr std::size_t most_writes = 4;         ///< WRITEs that have no answer yet

  /// Asks for `name`, "sql\query".
  Pipe(Pipes &pipes, std::string_view name);
  ~Pipe();
  Pipe(const Pipe &) = delete;
  Pipe &operator=(const Pipe &) = delete;

  State state() const { return state_; }
  const Failure &failure() const { return failure_; } ///< of State::failed
  /// What has come, as far as there is room for it; 0: nothing yet, or at the end nothing any more.
  std::size_t read(char *data, std::size_t size);
  bool has_data() const { return read_ < received_.size(); }
  bool at_end() const { return !has_data() && state_ == State::closed; }
  /// How much of it was taken; 0: call again when something has changed.
  std::size_t write(const char *data, std::size_t size);
  bool can_write() const { return state_ == State::open && !closing_ && unsent_.size() < most_unsent; }
  /// Once what was written is on its way.
  void close();

private:
  friend class Pipes;
  void on_reply(std::uint64_t id, const Reply &reply);
  void on_create(const Reply &reply);
  void on_read(const Reply &reply);
  void fail(Fault fault, std::string detail);
  /// Sends what there are credits for.
  void pump();
  bool send_unit();

  Pipes &pipes_;
  std::u16string name_;
  State state_ = State::opening;
  Failure failure_;
  FileId file_{};
  bool asked_ = false; ///< CREATE, PIPE_WAIT or CLOSE is on its way
  int waits_ = 0;
  bool closing_ = false, cancelled_ = false;
  std::optional<std::uint64_t> reading_;
  std::map<std::uint64_t, std::size_t> writes_; ///< that have no answer yet, and their sizes
  Bytes received_, unsent_;
  std::size_t read_ = 0;
};

/// The pipes of one session: whose an answer is.
class Pipes {
public:
  explicit Pipes(Session &session) : session_(session) {}

  /// Takes what has come since, and sends what there are credits for. An error is the session's end; every
  /// pipe has failed with it.
  Expected<void> step();
  void end_of_stream();
  std::size_t size() const { return pipes_.size(); }

private:
  friend class Pipe;
  Channel &channel() { return session_.channel(); }
  void ask(std::uint64_t id, Pipe *pipe) { owners_[id] = pipe; }

  Session &session_;
  std::vector<Pipe *> pipes_;
  std::map<std::uint64_t, Pipe *> owners_; ///< nullptr: it has gone, and nobody wants the answer
};

} // namespace shim::smb

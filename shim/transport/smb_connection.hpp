// An SMB session over TCP, and its pipes as transports: several legs on one connection.
#pragma once

#include "auth/initiator.hpp"
#include "shim/smb/pipe.hpp"
#include "shim/transport/wire.hpp"

#include <expected>

namespace shim {

class PipeTransport;

/// Lives as long as whoever opened it or one of its pipes; all of them on one thread.
class SmbConnection : public std::enable_shared_from_this<SmbConnection> {
public:
  /// From a connection that stands to a session that does. Has no deadline of its own, and may be cancelled.
  /// `initiator` speaks SPNEGO for cifs/HOST.
  static Task<std::expected<std::shared_ptr<SmbConnection>, smb::Failure>>
  open(Socket socket, smb::SessionRequest request, std::unique_ptr<auth::Initiator> initiator);
  SmbConnection(Socket socket, smb::SessionRequest request);
  SmbConnection(const SmbConnection &) = delete;

  /// A pipe of it, "sql\query". The same of deadline and cancelling; a pipe that is busy is waited for.
  Task<std::expected<std::unique_ptr<Transport>, smb::Failure>> open_pipe(std::string name);
  const smb::SessionFacts &facts() const { return session_.facts(); }
  std::size_t pipes() const { return pipes_.size(); }

private:
  friend class PipeTransport;
  Task<std::expected<void, smb::Failure>> set_up(auth::Initiator &initiator);
  std::expected<void, smb::Failure> give_token(auth::Initiator &initiator, const smb::NeedToken &need);
  /// Sends what there is to send, now or once there is room.
  void flush();
  void read_when_ready();
  void on_readable();
  void end(const smb::Failure &failure);
  /// Whoever waits for a pipe looks again.
  void wake();

  SocketTransport wire_;
  smb::Session session_;
  smb::Pipes pipes_;
  std::vector<PipeTransport *> transports_;
  bool flushing_ = false, ended_ = false;
};

/// One pipe of a connection as the bottom of a leg.
class PipeTransport final : public Transport {
public:
  PipeTransport(std::shared_ptr<SmbConnection> connection, const std::string &name);
  ~PipeTransport() override;

  Moved read(char *data, std::size_t size) override;
  Moved write(const char *data, std::size_t size) override;
  /// A pipe has no half of an end: once what was written is on its way, it is closed.
  Wait shutdown_send() override;
  bool has_more() const override { return pipe_ && pipe_->has_data(); }
  Executor get_executor() override { return connection_->wire_.get_executor(); }
  bool open() const override { return pipe_.has_value(); }
  void close() override;
  void interrupt() override;
  Socket *socket() override { return nullptr; }
  Gate &gate(Wait wait) override { return wait == Wait::writable ? writable_ : readable_; }
  std::string local() const override { return connection_->wire_.local(); }
  std::string peer() const override { return connection_->wire_.peer(); }

private:
  friend class SmbConnection;
  boost::system::error_code error() const;

  std::shared_ptr<SmbConnection> connection_;
  std::optional<smb::Pipe> pipe_; ///< on the connection's pipes
  Gate readable_, writable_;
  bool interrupted_ = false;
};

} // namespace shim

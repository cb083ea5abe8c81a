// The peer's end of a connection: the wire, and the conversations on it. Without MARS there is one
// conversation, which is the wire itself; with MARS every session id of SMP (MC-SMP) is one.
#pragma once

#include "tools/lab/peer/recorder.hpp"
#include "tools/lab/peer/tls_layer.hpp"

#include "shim/transport/task.hpp"
#include "tds/login7.hpp"
#include "tds/packet.hpp"

#include <deque>
#include <stdexcept>

namespace lab {

/// Ends a connection from wherever it is; the text goes into N.json.
struct ConnectionEnded : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The socket with its record, and TLS where it was begun. Writes are kept whole when several
/// conversations write at once.
class Wire {
public:
  Wire(shim::Socket socket, Recorder &recorder)
      : socket_(std::move(socket)), recorder_(recorder), turn_(socket_.get_executor()) {}

  /// The next bytes of TDS, recorded before they are returned; takes part in TLS handshakes. Empty when the
  /// client has closed. Throws ConnectionEnded when TLS breaks.
  shim::Task<tds::ByteView> read();
  /// Throws ConnectionEnded when the client is gone.
  shim::Task<> write(tds::ByteView bytes);
  /// What comes next from the client is TLS.
  void begin_tls(TlsMode mode, const TlsContext &context, TlsManner manner) {
    tls_.begin(mode, context, manner);
  }
  const TlsLayer &tls() const { return tls_; }
  /// Nothing more from us: close_notify under TLS, then FIN.
  void shutdown();
  void close();
  /// Closes with RST.
  void reset();

  std::uint64_t bytes_read() const { return bytes_read_; }

private:
  void acknowledge(); ///< has the kernel tell the client now that its bytes have come
  shim::Task<> send(tds::ByteView bytes);
  shim::Task<> take_turn();
  void record_tls();

  shim::Socket socket_; // TCP, or Unix behind a pipe
  Recorder &recorder_;
  shim::Signal turn_;
  bool writing_ = false;
  bool ended_ = false; // by the client's close_notify
  std::uint64_t bytes_read_ = 0;
  TlsLayer tls_;
  tds::Bytes plain_;
  std::array<std::uint8_t, 32 * 1024> buffer_{};
};

/// One message of the client.
struct Incoming {
  tds::Message message;
  bool reset = false;            ///< RESETCONNECTION or RESETCONNECTIONSKIPTRAN
  bool keep_transaction = false; ///< the second of the two
};

/// One conversation: client messages in, server packets out. Fed by whoever reads the wire.
class Channel {
public:
  /// `sid`: of an SMP session; none without MARS.
  Channel(Wire &wire, shim::Executor executor, std::optional<std::uint16_t> sid = {});

  // Input, from the reader of the wire. Throws ConnectionEnded when the bytes are no TDS.
  void feed(tds::ByteView bytes);
  void end(); ///< nothing more will come
  void window(std::uint32_t most) {
    send_window_ = most, changed_.notify();
  } ///< SMP: the highest sequence number we may send

  /// The next message; none when the client has ended the conversation, or when an attention waits.
  shim::Task<std::optional<Incoming>> next();
  /// Until something arrives, the client goes, or `limit` is over (0: for ever).
  shim::Task<> wait(shim::Millis limit) { return changed_.wait(limit); }
  /// Ends a `wait`.
  void wake() { changed_.notify(); }
  bool ended() const { return ended_; }
  /// The client's attention that is not acknowledged yet.
  bool attention() const { return attention_; }
  void acknowledge_attention() { attention_ = false; }
  shim::Task<> until_ended();
  /// Whether the client sent what was not asked for yet.
  bool unread() const { return !buffer_.empty() || !messages_.empty() || mid_message_; }
  void limit(std::size_t max_message) { reader_.limit(max_message); }
  std::optional<std::uint16_t> sid() const { return sid_; }

  /// SMP: an ACK frame with our window, where half of what the client may send came since it last heard of
  /// it. A long request needs it.
  shim::Task<> acknowledge();

  /// One TDS packet, header included.
  shim::Task<> send_packet(tds::ByteView packet);
  /// Bytes that are written as they are; not for SMP.
  shim::Task<> send_raw(tds::ByteView bytes) { return wire_.write(bytes); }

private:
  void take_packet(const tds::PacketHeader &header, tds::ByteView packet);

  Wire &wire_;
  std::optional<std::uint16_t> sid_;
  shim::Signal changed_;
  tds::Bytes buffer_;
  tds::MessageReader reader_;
  std::deque<Incoming> messages_;
  bool mid_message_ = false;
  std::uint8_t reset_ = 0; // the bits of the message's first packet that ask for it
  bool attention_ = false;
  bool ended_ = false;
  // SMP
  std::uint32_t sent_ = 0;        // sequence number of our last DATA
  std::uint32_t received_ = 0;    // of the client's last DATA
  std::uint32_t told_ = 0;        // received_ when we last told our window
  std::uint32_t send_window_ = 4; // MC-SMP 3.1.1: what both sides begin with
};

/// Cuts a reply into packets of the agreed size as it is made.
class ReplyStream {
public:
  ReplyStream(Channel &channel, std::size_t packet_size, std::uint16_t spid)
      : channel_(channel), room_(packet_size - tds::packet_header_size), spid_(spid) {}

  shim::Task<> write(tds::ByteView payload);
  /// The last packet, with EOM.
  shim::Task<> finish();

private:
  shim::Task<> packet(tds::ByteView payload, bool last);

  Channel &channel_;
  std::size_t room_;
  std::uint16_t spid_;
  std::uint8_t packet_id_ = 1;
  tds::Bytes pending_;
};

/// SMP's frames (MC-SMP 2.2.1): 53 flags(1) sid(2) length(4, header included)
/// seqnum(4) wndw(4), little-endian.
struct SmpHeader {
  static constexpr std::uint8_t id = 0x53;
  static constexpr std::size_t size = 16;
  enum Flags : std::uint8_t { syn = 1, ack = 2, fin = 4, data = 8 };

  std::uint8_t flags = 0;
  std::uint16_t sid = 0;
  std::uint32_t length = size;
  std::uint32_t sequence = 0;
  std::uint32_t window = 4;
};
std::optional<SmpHeader> decode_smp(tds::ByteView bytes);
tds::Bytes encode_smp(const SmpHeader &header, tds::ByteView data = {});

} // namespace lab

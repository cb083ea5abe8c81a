// What lies between the wire and TDS: nothing, or TLS in one of its modes. Pure: bytes in, bytes out.
//
//   login, full   the handshake travels inside TDS packets of type 0x12; after it, TLS records stand on the
//                 wire by themselves
//   login         the first TDS packet is the only one under TLS; what follows is clear, and no close_notify
//                 marks the change
//   strict        TLS from the first byte
#pragma once

#include "tools/lab/peer/encryption.hpp"
#include "tools/lab/peer/tls.hpp"

namespace lab {

/// How the server behaves in the handshake.
struct TlsManner {
  bool in_replies = false; ///< its flights in packets of type 0x04 instead of 0x12; clients take both
  enum class Fault { none, garbage, silence, close } fault = Fault::none; ///< what answers the ClientHello
};

class TlsLayer {
public:
  struct Step {
    tds::Bytes plain;    ///< TDS bytes of the client
    tds::Bytes send;     ///< for the wire as it is, before anything else
    std::string failure; ///< ends the connection, after `send`
    bool reset = false;  ///< and does so by RST
    bool ended = false;  ///< the client closed its side of TLS
    bool agreed = false; ///< the handshake was completed with these bytes
    bool silent = false; ///< ClientHello stays without answer, as told
  };

  /// Everything is clear until this; the next byte received belongs to the handshake.
  void begin(TlsMode mode, const TlsContext &context, TlsManner manner = {});
  Step receive(tds::ByteView bytes);
  /// TDS bytes of ours as they go on the wire.
  tds::Bytes seal(tds::ByteView plain);
  /// The end of our side: close_notify where TLS still stands, else nothing.
  tds::Bytes close();

  TlsMode mode() const { return mode_; }
  const TlsSession *session() const {
    return session_ ? &*session_ : nullptr;
  } ///< for its facts, also after login-only TLS is over

private:
  enum class State { clear, handshake, first_packet, secret };

  void receive_handshake(Step &step);
  void receive_first_packet(Step &step);
  void receive_secret(Step &step);
  bool take_flight(tds::Bytes &flight);
  void answer_hello_badly(Step &step) const;
  tds::Bytes wrapped(tds::Bytes flight) const;

  TlsMode mode_ = TlsMode::clear;
  TlsManner manner_;
  State state_ = State::clear;
  bool begun_ = false; // something came since begin()
  std::optional<TlsSession> session_;
  tds::Bytes pending_; // received and not yet used: of a packet or record that is not whole
  tds::Bytes first_;   // of the first TDS packet
};

} // namespace lab

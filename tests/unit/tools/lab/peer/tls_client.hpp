// The client's side of TLS in and around TDS, for tests: OpenSSL over memory, able to cut and mix
// what real clients never do.
#pragma once

#include "tests/unit/tools/lab/peer/client.hpp"

#include <memory>
#include <openssl/ssl.h>

namespace lab_test {

class TlsClient {
public:
  /// `wrapped`: the handshake goes in packets of type 0x12, as inside PRELOGIN; else it stands on the
  /// wire by itself (TDS 8.0).
  TlsClient(Client &client, bool wrapped, int max_version = TLS1_2_VERSION,
            const char *sni = "sql1.corp.test")
      : client_(client), wrapped_(wrapped) {
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_.get(), max_version);
    SSL_CTX_set_cipher_list(context_.get(), "DEFAULT:@SECLEVEL=0");
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_tlsext_host_name(ssl_.get(), sni);
    SSL_set_connect_state(ssl_.get());
  }

  void offer_alpn(std::string_view wire) {
    SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char *>(wire.data()),
                        static_cast<unsigned>(wire.size()));
  }

  /// Throws when the peer ends it.
  void handshake() {
    while (SSL_do_handshake(ssl_.get()) != 1) {
      send_flight();
      receive_flight();
    }
    send_flight(); // our Finished, with TLS 1.3
  }

  /// What these bytes are under TLS.
  tds::Bytes seal(tds::ByteView plain) {
    SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
    return output();
  }
  void write(tds::ByteView plain) { client_.write(seal(plain)); }
  tds::Bytes close_notify() {
    SSL_shutdown(ssl_.get());
    return output();
  }
  /// The payload of the next message, which came under TLS; nullopt at the end of the stream.
  std::optional<tds::Bytes> receive() {
    tds::MessageReader reader(1024 * 1024);
    while (true) {
      tds::Bytes plain(64 * 1024);
      const int size = SSL_read(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
      if (size > 0) {
        plain.resize(static_cast<std::size_t>(size));
        reader.feed(plain);
        if (auto message = reader.next().value()) return std::move(message->payload);
        continue;
      }
      closed_properly_ = SSL_get_error(ssl_.get(), size) == SSL_ERROR_ZERO_RETURN;
      if (closed_properly_) return std::nullopt;
      const auto bytes = client_.read();
      if (bytes.empty()) return std::nullopt;
      feed(bytes);
    }
  }
  bool closed_properly() const { return closed_properly_; } ///< the peer's last words were close_notify
  int flight_type() const { return flight_type_; }          ///< of the packets that held the peer's handshake
  std::string version() const { return SSL_get_version(ssl_.get()); }
  bool resumable() const { return SSL_SESSION_is_resumable(SSL_get_session(ssl_.get())); }
  tds::Bytes finished() const {
    tds::Bytes bytes(64);
    bytes.resize(SSL_get_finished(ssl_.get(), bytes.data(), bytes.size()));
    return bytes;
  }

private:
  void feed(tds::ByteView bytes) {
    BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
  }
  tds::Bytes output() {
    tds::Bytes bytes(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())));
    if (!bytes.empty()) BIO_read(SSL_get_wbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  void send_flight() {
    const auto flight = output();
    if (flight.empty()) return;
    if (wrapped_)
      client_.send(tds::PacketType::prelogin, flight);
    else
      client_.write(flight);
  }
  void receive_flight() {
    if (!wrapped_) {
      const auto bytes = client_.read();
      if (bytes.empty()) throw std::runtime_error("the peer ended the handshake");
      return feed(bytes);
    }
    while (pending_.size() < 8 ||
           pending_.size() < static_cast<std::size_t>(pending_[2] << 8 | pending_[3])) {
      const auto bytes = client_.read();
      if (bytes.empty()) throw std::runtime_error("the peer ended the handshake");
      pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    }
    const auto size = static_cast<std::size_t>(pending_[2] << 8 | pending_[3]);
    flight_type_ = pending_[0];
    feed(tds::ByteView(pending_).subspan(8, size - 8));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(size));
  }

  Client &client_;
  bool wrapped_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{SSL_CTX_new(TLS_client_method()), SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  tds::Bytes pending_;
  int flight_type_ = 0;
  bool closed_properly_ = false;
};

} // namespace lab_test

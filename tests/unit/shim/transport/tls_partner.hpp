// OpenSSL itself as the other side of a bare handshake: blocking, on a thread of its own, able to do
// what a Stream never does.
#pragma once

#include "tests/unit/shim/support.hpp"

#include <csignal>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/time.h>
#include <thread>

namespace shim_test {

/// What the partner is like. Certificate and key only where it is the server.
struct PartnerWish {
  std::string certificate, key;
  int least = TLS1_VERSION, most = 0;
  std::string alpn = std::string("\x07tds/8.0", 8); ///< empty: none
  std::string server_name = {};
  SSL_SESSION *session = nullptr; ///< tried to be resumed
};

class Partner {
public:
  /// `script` runs after the handshake, whether that went well or not.
  Partner(TcpSocket socket, PartnerWish wish, std::function<void(SSL *, bool done)> script)
      : socket_(std::move(socket)),
        thread_([this, wish = std::move(wish), script = std::move(script)] { run(wish, script); }) {}
  ~Partner() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  static std::string read(SSL *ssl, std::size_t size) {
    std::string text(size, '\0');
    std::size_t done = 0;
    while (done < size) {
      auto count = SSL_read(ssl, text.data() + done, static_cast<int>(size - done));
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    text.resize(done);
    return text;
  }
  static bool write(SSL *ssl, const std::string &text) {
    return SSL_write(ssl, text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size());
  }

private:
  static int select_alpn(SSL *, const unsigned char **out, unsigned char *size, const unsigned char *,
                         unsigned, void *wished) {
    const auto &alpn = *static_cast<std::string *>(wished);
    *out = reinterpret_cast<const unsigned char *>(alpn.data()) + 1;
    *size = static_cast<unsigned char>(alpn[0]);
    return SSL_TLSEXT_ERR_OK;
  }
  void run(const PartnerWish &wish, const std::function<void(SSL *, bool)> &script) {
    const bool server = !wish.certificate.empty();
    // OpenSSL's own socket calls raise it when the other side is gone. Only here: ours must never.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    socket_.non_blocking(false);
    // What hangs fails: no partner waits for ever.
    const timeval limit{30, 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
        SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()), SSL_CTX_free);
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(context.get(), wish.least);
    SSL_CTX_set_max_proto_version(context.get(), wish.most);
    if (server) {
      EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), wish.certificate.c_str()), 1);
      EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), wish.key.c_str(), SSL_FILETYPE_PEM), 1);
    }
    if (server && !wish.alpn.empty())
      SSL_CTX_set_alpn_select_cb(context.get(), select_alpn, const_cast<std::string *>(&wish.alpn));
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
    SSL_set_fd(ssl.get(), socket_.native_handle());
    if (!server && !wish.alpn.empty())
      SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char *>(wish.alpn.data()),
                          static_cast<unsigned>(wish.alpn.size()));
    if (!wish.server_name.empty()) SSL_set_tlsext_host_name(ssl.get(), wish.server_name.c_str());
    if (wish.session) SSL_set_session(ssl.get(), wish.session);
    const bool done = (server ? SSL_accept(ssl.get()) : SSL_connect(ssl.get())) == 1;
    script(ssl.get(), done);
    ERR_clear_error();
    ssl.reset();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  TcpSocket socket_;
  std::thread thread_;
};

} // namespace shim_test

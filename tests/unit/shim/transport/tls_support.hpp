// Shared by the tests of TLS: a folder with certificates, handshakes of two Streams, and a wire in between
// that a test can cut, slow down and falsify.
#pragma once

#include "shim/transport/stream.hpp"
#include "tests/support/certificates.hpp"
#include "tests/unit/shim/support.hpp"

#include <fstream>

namespace shim_test {

namespace fs = std::filesystem;
using test_support::CertificateFiles;
using test_support::CertificateWish;
using test_support::MadeCertificate;
using Outcome = std::expected<TlsFacts, TlsError>;

class Folder {
public:
  Folder() {
    auto name = (fs::temp_directory_path() / "sqlshim-tls-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  Folder(const Folder &) = delete;
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path &path() const { return path_; }

private:
  fs::path path_;
};

/// One issuer and one good certificate, made once for a whole program.
struct Standard {
  Folder folder;
  MadeCertificate issuer = test_support::make_issuer();
  CertificateFiles ca = test_support::write(issuer, folder.path(), "ca");
  CertificateFiles server = test_support::write(test_support::issue(issuer, {}), folder.path(), "server");
  TlsContextPtr accepting = *make_accepting_tls({server.certificate, server.key});
  TlsContextPtr connecting = *make_connecting_tls({ca.certificate, true, false});
};
inline const Standard &standard() {
  static const Standard made;
  return made;
}

inline TlsHandshake accepting(bool within_prelogin, TlsContextPtr context = standard().accepting) {
  TlsHandshake wanted;
  wanted.context = std::move(context);
  wanted.accept = true;
  wanted.within_prelogin = within_prelogin;
  return wanted;
}
inline TlsHandshake connecting(bool within_prelogin, TlsContextPtr context = standard().connecting,
                               std::vector<std::string> names = {"sql1.corp.test"}) {
  TlsHandshake wanted;
  wanted.context = std::move(context);
  wanted.within_prelogin = within_prelogin;
  wanted.server_name = names.empty() ? "" : names.front();
  wanted.names = std::move(names);
  return wanted;
}

inline std::pair<Stream, Stream> stream_pair(Executor executor) {
  auto [client, server] = tcp_pair(executor);
  return {Stream(Socket(std::move(client))), Stream(Socket(std::move(server)))};
}

/// A handshake whose stream is closed when it fails, as every caller does: the other side must not wait.
inline Task<Outcome> shake(Stream &stream, TlsHandshake wanted) {
  auto outcome = co_await stream.handshake(std::move(wanted));
  if (!outcome) stream.close();
  co_return outcome;
}
template <class A, class B> Task<std::pair<A, B>> both(Task<A> a, Task<B> b) {
  using namespace asio::experimental::awaitable_operators;
  shim::detail::Box<A> of_a;
  shim::detail::Box<B> of_b;
  co_await (shim::detail::fill(of_a, std::move(a)) && shim::detail::fill(of_b, std::move(b)));
  co_return std::pair<A, B>(of_a.take(), of_b.take());
}
/// Connecting and accepting side.
inline Task<std::pair<Outcome, Outcome>> shake_hands(Stream &client, Stream &server, TlsHandshake connect,
                                                     TlsHandshake accept) {
  return both(shake(client, std::move(connect)), shake(server, std::move(accept)));
}

inline std::string text_of(const Outcome &outcome) {
  if (outcome) return outcome->version + " " + outcome->cipher;
  return "fault " + std::to_string(static_cast<int>(outcome.error().fault)) + ": " + outcome.error().detail;
}

inline std::span<const std::uint8_t> bytes_of(const std::string &text) {
  return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}
/// What arrives, up to `size` bytes or the end.
inline Task<std::string> read(Stream &stream, std::size_t size) {
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    auto [error, count] = co_await stream.read_some(asio::buffer(text.data() + done, size - done));
    if (error) break;
    done += count;
  }
  text.resize(done);
  co_return text;
}
inline Task<boost::system::error_code> read_error(Stream &stream) {
  char byte;
  auto [error, count] = co_await stream.read_some(asio::buffer(&byte, 1));
  co_return error;
}
inline Task<bool> send(Stream &stream, std::string text) {
  auto error = co_await stream.write(bytes_of(text));
  co_return !error;
}

/// A wire between two Streams. What goes through is kept; a test says what is done to it.
class Wire {
public:
  struct Way {
    std::string seen;                                           ///< as it was sent
    std::size_t piece = 65536;                                  ///< largest delivered at once
    std::optional<std::size_t> cut_after;                       ///< then both ends are closed
    std::function<std::string(std::string, int number)> change; ///< of each piece as it comes, counted from 1
  };

  explicit Wire(Executor executor) : executor_(executor) {
    auto left = tcp_pair(executor), right = tcp_pair(executor);
    client.emplace(Socket(std::move(left.first)));
    server.emplace(Socket(std::move(right.second)));
    inner_ = std::make_shared<Inner>(Inner{std::move(left.second), std::move(right.first), {}, {}});
    for (auto *socket : {&inner_->client, &inner_->server})
      socket->set_option(Tcp::no_delay(true));
  }
  void run() {
    asio::co_spawn(executor_, pass(inner_, inner_->client, inner_->server, inner_->up), asio::detached);
    asio::co_spawn(executor_, pass(inner_, inner_->server, inner_->client, inner_->down), asio::detached);
  }
  Way &up() { return inner_->up; }
  Way &down() { return inner_->down; }
  void cut() { inner_->cut(); }

  std::optional<Stream> client, server; ///< the ends

private:
  struct Inner {
    TcpSocket client, server;
    Way up, down;
    void cut() {
      boost::system::error_code ignored;
      client.close(ignored);
      server.close(ignored);
    }
  };
  static Task<> pass(std::shared_ptr<Inner> inner, TcpSocket &from, TcpSocket &to, Way &way) {
    std::string buffer(65536, '\0');
    for (int number = 1;; ++number) {
      auto [error, count] = co_await from.async_read_some(asio::buffer(buffer), as_result);
      if (error) break;
      auto piece = buffer.substr(0, count);
      if (way.cut_after) piece.resize(std::min(piece.size(), *way.cut_after - way.seen.size()));
      way.seen += piece;
      if (way.change) piece = way.change(std::move(piece), number);
      for (std::size_t at = 0; at < piece.size(); at += way.piece) {
        auto [failed, written] = co_await asio::async_write(
            to, asio::buffer(piece.data() + at, std::min(way.piece, piece.size() - at)), as_result);
        if (failed) co_return;
      }
      if (way.cut_after && way.seen.size() >= *way.cut_after) co_return inner->cut();
    }
    boost::system::error_code ignored;
    to.shutdown(TcpSocket::shutdown_send, ignored);
  }

  Executor executor_;
  std::shared_ptr<Inner> inner_;
};

} // namespace shim_test

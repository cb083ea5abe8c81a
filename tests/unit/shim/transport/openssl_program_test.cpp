// The openssl program as an independent partner of a bare handshake, on either side
// (shim/transport/stream.hpp).
#include "shim/transport/stream.hpp"

#include "tests/unit/shim/transport/tls_support.hpp"

#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>

namespace shim_test {
namespace {

using testing::HasSubstr;

/// A running `openssl`: its input and its output (with what it complains of).
class Program {
public:
  explicit Program(std::vector<std::string> arguments) {
    int in[2], out[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || ::pipe2(out, O_CLOEXEC) != 0)
      throw std::runtime_error("pipe");
    arguments.insert(arguments.begin(), "openssl");
    std::vector<char *> raw;
    for (auto &argument : arguments)
      raw.push_back(argument.data());
    raw.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::dup2(out[1], 2);
      ::execvp(raw[0], raw.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1], out_ = out[0];
  }
  Program(const Program &) = delete;
  ~Program() {
    ::close(in_);
    ::close(out_);
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  void say(const std::string &text) {
    if (::send(in_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
      throw std::runtime_error("it has gone");
  }
  int output() const { return out_; }

private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
};

class OpensslProgram : public testing::Test {
protected:
  void SetUp() override {
    if (std::system("openssl version >/dev/null 2>&1") == 0) return;
    if (std::getenv("SQLSHIM_CI")) FAIL() << "there is no openssl program";
    GTEST_SKIP() << "there is no openssl program";
  }
  /// What it has said, as soon as `text` is in it, or at its end.
  Task<std::string> until_it_says(Program &program, std::string text) {
    asio::posix::basic_stream_descriptor<Executor> output(loop_.executor(), ::dup(program.output()));
    std::array<char, 4096> piece;
    while (said_.find(text) == std::string::npos) {
      auto [error, count] = co_await output.async_read_some(asio::buffer(piece), as_result);
      if (error) break;
      said_.append(piece.data(), count);
    }
    co_return said_;
  }
  std::string output_with(Program &program, const std::string &text) {
    return loop_.run(until_it_says(program, text));
  }

  Loop loop_;
  std::string said_;
};

struct Version {
  const char *option, *name;
};

TEST_F(OpensslProgram, AsClient) {
  for (const auto &version : {Version{"-tls1_2", "TLSv1.2"}, Version{"-tls1_3", "TLSv1.3"}}) {
    SCOPED_TRACE(version.name);
    said_.clear();
    TcpAcceptor acceptor(loop_.executor(), loopback());
    Program client({"s_client", "-connect", "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()),
                    version.option, "-alpn", "tds/8.0", "-CAfile", standard().ca.certificate,
                    "-verify_return_error", "-verify_hostname", "sql1.corp.test", "-servername",
                    "sql1.corp.test"});
    auto serve = [&]() -> Task<Outcome> {
      auto [error, socket] = co_await acceptor.async_accept(as_result);
      if (error) throw boost::system::system_error(error);
      Stream stream{Socket(std::move(socket))};
      auto outcome = co_await stream.handshake(accepting(false));
      if (!outcome) co_return outcome;
      client.say("query\n");
      EXPECT_EQ(co_await read(stream, 6), "query\n");
      if (outcome->version == "TLSv1.3") {
        client.say("K\n"); // a key update, and ours is asked for
        EXPECT_THAT(co_await until_it_says(client, "KEYUPDATE"), HasSubstr("KEYUPDATE"));
        EXPECT_EQ(co_await send(stream, "under new keys\n"), true);
      }
      client.say("again\n");
      EXPECT_EQ(co_await read(stream, 6), "again\n");
      EXPECT_EQ(co_await send(stream, "answer\n"), true);
      stream.shutdown_send();
      EXPECT_EQ(co_await read_error(stream), asio::error::eof);
      co_return outcome;
    };
    auto outcome = loop_.run(serve());
    ASSERT_TRUE(outcome) << text_of(outcome);
    EXPECT_EQ(outcome->version, version.name);
    EXPECT_EQ(outcome->alpn, "tds/8.0");
    const auto said = output_with(client, "nothing that it says");
    EXPECT_THAT(said, HasSubstr("ALPN protocol: tds/8.0"));
    EXPECT_THAT(said, HasSubstr("Verification: OK"));
    EXPECT_THAT(said,
                HasSubstr("Secure Renegotiation IS " +
                          std::string(version.name == std::string("TLSv1.3") ? "NOT " : "") + "supported"));
    EXPECT_THAT(said, testing::Not(HasSubstr("TLS session ticket")));
    EXPECT_THAT(said, HasSubstr("answer"));
  }
}

TEST_F(OpensslProgram, AsServer) {
  for (const auto &version : {Version{"-tls1_2", "TLSv1.2"}, Version{"-tls1_3", "TLSv1.3"}}) {
    SCOPED_TRACE(version.name);
    said_.clear();
    Program server({"s_server", "-accept", "127.0.0.1:0", version.option, "-alpn", "tds/8.0", "-cert",
                    standard().server.certificate, "-key", standard().server.key});
    auto said = output_with(server, "ACCEPT 127.0.0.1:");
    const auto at = said.find("ACCEPT 127.0.0.1:");
    ASSERT_NE(at, std::string::npos) << said;
    said = output_with(server, "\n");
    const auto port = static_cast<std::uint16_t>(std::stoi(said.substr(at + 17)));
    TcpSocket socket(loop_.executor());
    socket.connect(loopback(port));
    Stream client{Socket(std::move(socket))};
    auto outcome = loop_.run(shake(client, connecting(false)));
    ASSERT_TRUE(outcome) << text_of(outcome);
    EXPECT_EQ(outcome->version, version.name);
    EXPECT_EQ(outcome->alpn, "tds/8.0");
    EXPECT_TRUE(outcome->verified);
    EXPECT_TRUE(loop_.run(send(client, "query\n")));
    EXPECT_THAT(output_with(server, "query"), HasSubstr("query"));
    server.say("rows\n");
    EXPECT_EQ(loop_.run(read(client, 5)), "rows\n");
    client.shutdown_send();
    EXPECT_EQ(loop_.run(read_error(client)), asio::error::eof);
  }
}

} // namespace
} // namespace shim_test

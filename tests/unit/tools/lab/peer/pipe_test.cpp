// What smbd says of a pipe's user, and the peer behind a pipe. The requests were captured from Debian 12's
// smbd (Samba 4.17.12): alice, by NTLM (root's smbd, at an address of 12 letters) and by Kerberos.
#include "tools/lab/peer/pipe.hpp"

#include "tests/unit/tools/lab/peer/client.hpp"
#include "tools/lab/peer/peer.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <sys/un.h>

namespace lab {
namespace {

using ::testing::HasSubstr;

tds::Bytes captured(const std::string &name) {
  const auto text = read_file(fs::path(SQLSHIM_SOURCE_DIR) / "tests/data/npam" / (name + ".bin"));
  return {text.begin(), text.end()};
}

TEST(PipeRequest, tells_the_user_of_the_smb_session) {
  EXPECT_EQ(decode_pipe_request(captured("ntlm")), (PipeUser{"alice", "SQL1", "127.0.0.1"}));
  EXPECT_EQ(decode_pipe_request(captured("kerberos")), (PipeUser{"alice", "CORP", "127.0.0.1"}));
}

TEST(PipeRequest, of_another_level_is_refused_by_name) {
  auto request = captured("ntlm");
  request[8] = 8;
  EXPECT_THAT(decode_pipe_request(request).error(), HasSubstr("level 8"));
  request[4] = 'X';
  EXPECT_EQ(decode_pipe_request(request).error(), "its request is no NPAM");
}

TEST(PipeRequest, cut_anywhere_before_the_names_is_an_error) {
  const auto request = captured("kerberos");
  const std::size_t names_end = 0x21d; // behind "CORP"
  for (std::size_t size = 0; size < names_end; ++size)
    EXPECT_FALSE(decode_pipe_request(tds::ByteView(request).first(size))) << size;
}

TEST(PipeRequest, with_sizes_that_lie_is_an_error) {
  for (const std::size_t at : {0xc8, 0xcc}) { // of the array of SIDs
    auto request = captured("kerberos");
    request[at] = request[at + 3] = 0xff;
    EXPECT_FALSE(decode_pipe_request(request)) << at;
  }
}

class PipeTest : public ::testing::Test {
protected:
  int connect() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un place{};
    place.sun_family = AF_UNIX;
    peer.options().pipe.string().copy(place.sun_path, sizeof place.sun_path - 1);
    if (::connect(fd, reinterpret_cast<const sockaddr *>(&place), sizeof place) != 0)
      throw std::runtime_error("nobody is at the pipe");
    return fd;
  }
  PeerOptions behind_a_pipe() {
    PeerOptions options;
    options.pipe = folder.path() / "sql\\query";
    return options;
  }
  TemporaryFolder folder;
  Peer peer{folder.path(), behind_a_pipe()};
};

TEST_F(PipeTest, a_login_through_it_is_one_like_any_other) {
  lab_test::Client client(connect());
  const auto request = captured("kerberos");
  client.write(request);
  const auto answer = client.read();
  EXPECT_EQ(answer, encode_pipe_answer());
  const auto accepted = client.log_in(lab_test::sql_login());
  EXPECT_TRUE(lab_test::find<tds::LoginAck>(accepted));
  client.batch("select net_transport, client_net_address, local_tcp_port from sys.dm_exec_connections");
  const auto reply = client.receive().value();
  tds::Writer expected;
  expected.utf16(u"Named pipe");
  const std::string bytes(reply.begin(), reply.end());
  EXPECT_THAT(bytes, HasSubstr(std::string(expected.bytes().begin(), expected.bytes().end())));
  const auto record = peer.record(1);
  EXPECT_EQ(record.at("transport"), "Named pipe");
  EXPECT_EQ(record.at("client_address"), "<named pipe>");
  EXPECT_EQ(record.at("pipe").at("user"), "alice");
  EXPECT_EQ(record.at("pipe").at("domain"), "CORP");
}

TEST_F(PipeTest, a_greeting_that_is_none_ends_it) {
  lab_test::Client client(connect());
  client.write(tds::Bytes{0, 0, 0, 8, 'X', 'P', 'A', 'M', 7, 0, 0, 0});
  EXPECT_TRUE(client.read().empty());
  EXPECT_THAT(peer.record(1).value("error", ""), HasSubstr("no NPAM"));
}

TEST_F(PipeTest, survives_a_restart_of_its_server) {
  peer.restart(peer.options());
  lab_test::Client client(connect());
  client.write(captured("ntlm"));
  EXPECT_EQ(client.read(), encode_pipe_answer());
}

} // namespace
} // namespace lab

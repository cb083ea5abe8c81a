// The lab's SMB server and the pipe behind it, shown by clients that are not sqlshim's: libsmbclient, which
// is what smbclient is made of, and impacket.
#include "tests/support/tds_client.hpp"
#include "tools/lab/lab.hpp"
#include "tools/lab/smb_front.hpp"

#include "tds/packet.hpp"
#include "tds/prelogin.hpp"
#include "tds/ssrp.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace {

using namespace testing;

struct Asked {
  std::string client = "samba";
  std::string mechanism = "ntlm";
  std::string dialect = "3.1.1";
  std::string encryption = "off";
  std::string user = "alice";
  std::string password = "alicepw";
  std::string pipe = "sql\\query";
  std::uint16_t port = 0; ///< 0: smbd's own
};

std::string hex(tds::ByteView bytes) {
  std::string text;
  for (const auto byte : bytes)
    text += fmt::format("{:02x}", byte);
  return text;
}

tds::Bytes bytes_of(std::string_view hex) {
  tds::Bytes bytes;
  for (std::size_t at = 0; at + 2 <= hex.size(); at += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16)));
  return bytes;
}

class SmbLab : public Test {
protected:
  static void SetUpTestSuite() {
    lab_ = new lab::Lab({.smb = true, .serve = false});
    lab::write_file(lab_->folder() / "hosts", lab_->peer().address() + " sql1.corp.test\n");
    lab_->realm().kinit("alice", "alicepw", lab_->folder() / "ccache");
  }
  static void TearDownTestSuite() {
    delete lab_;
    lab_ = nullptr;
  }

  static tds::Bytes hello() {
    tds::Prelogin hello;
    hello.set_version({9, 0, 0, 0});
    hello.set_encryption(tds::Encryption::not_sup);
    return tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(hello));
  }

  /// What another client says that sends `packets` (in hexadecimal digits) through the pipe.
  static lab::Finished converse(const Asked &asked, const std::string &packets,
                                const std::string &bulk = "0") {
    const lab::TemporaryFolder folder;
    auto environment = lab_->environment();
    environment["NSS_WRAPPER_HOSTS"] = lab_->folder() / "hosts";
    const bool samba = asked.client == "samba";
    if (samba) environment["LD_PRELOAD"] = "libnss_wrapper.so";
    return lab::run({.argv = {"/usr/bin/python3", SQLSHIM_SOURCE_DIR "/tests/component/pipe_client.py",
                              asked.client, samba ? "sql1.corp.test" : lab_->peer().address(),
                              std::to_string(asked.port ? asked.port : lab_->smbd().options().port),
                              asked.mechanism, asked.user, asked.password, asked.dialect, asked.encryption,
                              asked.pipe, packets, folder.path(), bulk},
                     .environment = environment});
  }

  /// A PRELOGIN through the pipe by another client: what the server answered, or what the client said.
  static std::string prelogin(const Asked &asked) {
    const auto ran = converse(asked, hex(hello()));
    const auto from = ran.output.find("answer ");
    if (ran.status != 0 || from == ran.output.npos) return ran.output;
    tds::MessageReader reader(tds::largest_login7);
    reader.feed(bytes_of(ran.output.substr(from + 7)));
    const auto message = reader.next();
    if (!message || !*message) return ran.output;
    const auto answer = tds::decode_prelogin((*message)->payload);
    return answer ? tds::describe(*answer) : answer.error().text();
  }
  static constexpr auto good = "VERSION 16.0.1000, ENCRYPTION not_sup";

  /// The record of the newest connection to the peer.
  static nlohmann::json newest() {
    int number = 1;
    while (!lab_->peer().record(number + 1).empty())
      ++number;
    return lab_->peer().record(number);
  }
  /// Behind `text` in smbd's log.
  static std::string log_after(std::size_t from) { return lab_->smbd().log().substr(from); }

  static lab::SmbdOptions unchanged() {
    return {.keytab = lab_->smbd().options().keytab, .accounts = lab_->smbd().options().accounts};
  }
  static lab::SmbdOptions only(const std::string &dialect) {
    auto options = unchanged();
    options.lowest = options.highest = dialect;
    return options;
  }

  static lab::Lab *lab_;
};
lab::Lab *SmbLab::lab_ = nullptr;

TEST_F(SmbLab, LeadsToThePipeInEachDialectByEachMechanismSignedAndEncrypted) {
  const std::map<std::string, std::string> in_log = {{"2.0.2", "SMB2_02"},
                                                     {"2.1", "SMB2_10"},
                                                     {"3.0", "SMB3_00"},
                                                     {"3.0.2", "SMB3_02"},
                                                     {"3.1.1", "SMB3_11"}};
  for (const auto &[dialect, name] : in_log)
    for (const std::string encryption : {"off", "required"}) {
      if (encryption == "required" && dialect.starts_with("2")) continue;
      auto options = only(dialect);
      options.encryption = encryption;
      lab_->smbd().restart(options);
      for (const std::string mechanism : {"ntlm", "kerberos"}) {
        const auto row = fmt::format("{} {} {}", dialect, mechanism, encryption);
        const auto before = lab_->smbd().log().size();
        EXPECT_EQ(prelogin({.mechanism = mechanism, .dialect = dialect, .encryption = encryption}), good)
            << row;
        const auto log = log_after(before);
        EXPECT_THAT(log, HasSubstr("Selected protocol " + name)) << row;
        EXPECT_THAT(log, HasSubstr(mechanism == "ntlm" ? "[SMB2,NTLMSSP] user [SQL1]\\[alice]"
                                                       : "[SMB2,krb5] user [CORP]\\[alice]"))
            << row;
        const auto record = newest();
        EXPECT_EQ(record.value("transport", ""), "Named pipe") << row;
        EXPECT_EQ(record.at("pipe").value("user", ""), "alice") << row;
        EXPECT_EQ(record.at("pipe").value("domain", ""), mechanism == "ntlm" ? "SQL1" : "CORP") << row;
        fmt::print("{:<6} {:<9} {:<10} libsmbclient: {}\n", dialect, mechanism,
                   encryption == "off" ? "signed" : "encrypted", HasFailure() ? "see above" : "works");
      }
      const bool impacket = dialect == "2.0.2" || dialect == "2.1" || dialect == "3.0";
      if (impacket)
        EXPECT_EQ(prelogin({.client = "impacket", .dialect = dialect, .user = "bob", .password = "bobpw"}),
                  good)
            << dialect << " impacket " << encryption;
    }
  lab_->smbd().restart(unchanged());
}

/// A whole login and a long reply: what a benchmark of ours is to be measured by.
TEST_F(SmbLab, CarriesALongReply) {
  constexpr auto batch = u"exec lab_rows 20000, 200";
  test::Connection direct(lab_->peer().address(), lab_->peer().port());
  const test::ClientOptions options{.user = u"sa", .password = u"Lab.Passw0rd"};
  ASSERT_TRUE(test::log_in(direct, options).reply);
  const auto payload = test::query(direct, batch).size();
  const auto in_packet = tds::login_packet_size - tds::packet_header_size;
  const auto whole = payload + (payload + in_packet - 1) / in_packet * tds::packet_header_size;

  tds::Writer sql; // ALL_HEADERS: one, the transaction descriptor
  sql.u32_le(22);
  sql.u32_le(18);
  sql.u16_le(2);
  sql.u64_le(0);
  sql.u32_le(1);
  sql.utf16(batch);
  const auto login = tds::encode_login7(test::make_login7(options)).value();
  const auto packets = hex(hello()) + "," + hex(tds::encode_message(tds::PacketType::login7, login)) + "," +
                       hex(tds::encode_message(tds::PacketType::sql_batch, sql.bytes()));
  const auto ran = converse({}, packets, std::to_string(whole));
  EXPECT_THAT(ran.output, HasSubstr(fmt::format("moved {} in", whole)));
  EXPECT_EQ(newest().value("outcome", ""), "accepted");
  fmt::print("libsmbclient, 3.1.1 signed: {}", ran.output.substr(ran.output.find("moved")));
}

TEST_F(SmbLab, InsistsOnWhatItIsToldTo) {
  auto options = only("3.1.1");
  lab_->smbd().restart(options);
  EXPECT_THAT(prelogin({.dialect = "3.0"}), HasSubstr("cannot open")) << "no dialect below its lowest";
  options.lowest = "2.0.2";
  options.encryption = "required";
  lab_->smbd().restart(options);
  EXPECT_THAT(prelogin({.dialect = "2.1"}), HasSubstr("cannot open")) << "which has no encryption";
  EXPECT_EQ(prelogin({.encryption = "off"}), good) << "the server has its way";
  for (const std::string cipher : {"AES-128-CCM", "AES-128-GCM", "AES-256-CCM", "AES-256-GCM"}) {
    options.ciphers = {cipher};
    lab_->smbd().restart(options);
    EXPECT_EQ(prelogin({.encryption = "required"}), good) << cipher;
  }
}

TEST_F(SmbLab, RefusesWhoeverItDoesNotKnow) {
  EXPECT_THAT(prelogin({.password = "wrong"}), HasSubstr("cannot open"));
  EXPECT_THAT(prelogin({.user = "nobody", .password = ""}), HasSubstr("cannot open"));
  EXPECT_THAT(prelogin({.pipe = "no\\such"}), HasSubstr("cannot open"));
  auto options = unchanged();
  options.pipe_users = {"bob"};
  lab_->smbd().restart(options);
  EXPECT_THAT(prelogin({}), HasSubstr("Permission denied"));
  EXPECT_EQ(prelogin({.user = "bob", .password = "bobpw"}), good);
  lab_->smbd().restart(unchanged());
}

TEST_F(SmbLab, TakesGuestsWhereItIsToldTo) {
  auto options = unchanged();
  options.guests = true;
  lab_->smbd().restart(options);
  prelogin({.client = "impacket", .dialect = "2.1", .user = "mallory", .password = "any"});
  EXPECT_THAT(lab_->smbd().log(), HasSubstr("user [SQL1]\\[nobody]"));
  lab_->smbd().restart(unchanged());
}

TEST_F(SmbLab, OfOldSpeaksNoSmb2) {
  lab_->smbd().restart(only("1.0"));
  EXPECT_THAT(prelogin({}), HasSubstr("cannot open"));
  lab_->smbd().restart(unchanged());
}

TEST_F(SmbLab, ItsConnectionsEndWithIt) {
  lab_->smbd().stop();
  EXPECT_THAT(prelogin({}), HasSubstr("cannot open"));
  lab_->smbd().start();
  EXPECT_EQ(prelogin({}), good);
}

/// Another client must notice what the front does, or the front does nothing.
TEST_F(SmbLab, AFrontChangesWhatItIsToldTo) {
  using enum lab::SmbMischief;
  lab_->smbd().restart(unchanged());
  const auto through = [&](lab::SmbMischief mischief, lab::SmbCommand command) {
    lab::SmbFront front({.address = lab_->block().address(4),
                         .smb_address = lab_->smbd().options().address,
                         .smb_port = lab_->smbd().options().port,
                         .mischief = mischief,
                         .command = command});
    lab::write_file(lab_->folder() / "hosts", lab_->block().address(4) + " sql1.corp.test\n");
    auto said = prelogin({.port = front.port()});
    lab::write_file(lab_->folder() / "hosts", lab_->peer().address() + " sql1.corp.test\n");
    EXPECT_EQ(front.done(), mischief == none ? 0 : 1) << said;
    return said;
  };
  EXPECT_EQ(through(none, lab::SmbCommand::read), good);
  for (const auto mischief : {flip_signature, flip_payload, lab::SmbMischief::close})
    EXPECT_NE(through(mischief, lab::SmbCommand::tree_connect), good) << static_cast<int>(mischief);
  EXPECT_NE(through(downgrade_request, lab::SmbCommand::negotiate), good);
  EXPECT_NE(through(downgrade_answer, lab::SmbCommand::negotiate), good);
}

TEST(SmbLabInstance, TheBrowserTellsThePipe) {
  lab::Lab lab({.instance = "INST", .smb = true, .serve = false});
  EXPECT_EQ(lab.pipe(), "MSSQL$INST\\sql\\query");
  EXPECT_EQ(lab.peer().options().pipe.filename(), "mssql$inst\\sql\\query") << "smbd asks in small letters";
  asio::io_context io;
  asio::ip::udp::socket socket(io, asio::ip::udp::v4());
  const auto question = tds::encode_ssrp_question("inst").value();
  const asio::ip::udp::endpoint browser(asio::ip::make_address(lab.peer().address()), tds::ssrp_port);
  socket.send_to(asio::buffer(question), browser);
  tds::Bytes datagram(1024);
  datagram.resize(socket.receive(asio::buffer(datagram)));
  const auto answer = tds::decode_ssrp_answer(datagram, "INST").value();
  EXPECT_EQ(answer.pipe, R"(\\SQL1\pipe\MSSQL$INST\sql\query)");
  EXPECT_EQ(answer.port, lab.instance_port());
}

TEST(SmbLabCommand, HasItWithSmb) {
  const auto program = lab::program_folder() / "sqlshim";
  const auto ran =
      lab::run({.argv = {program, "lab", "--with", "smb", "--", "sh", "-c",
                         R"(ls "$SQLSHIM_LAB/smb/ncalrpc/np"; cat "$SQLSHIM_LAB/smb/smbd.log")"}});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.output, AllOf(StartsWith("sql\\query\n"), HasSubstr("smbd version")));
  EXPECT_EQ(lab::run({.argv = {program, "lab", "--with", "more", "--", "true"}}).status, 2);
}

} // namespace

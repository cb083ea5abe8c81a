// Real and published bytes. They are not part of the project: SQLSHIM_CAPTURES names their folder (default:
// shared/captures beside the source tree), and without it these tests skip.
#include "tds/connect_login.hpp"
#include "tds/login7.hpp"
#include "tds/prelogin.hpp"
#include "tds/sspi.hpp"
#include "tds/token.hpp"

#include "support.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace tds::test {

std::filesystem::path captures() {
  if (const char *named = std::getenv("SQLSHIM_CAPTURES")) return named;
  return std::filesystem::path(SQLSHIM_SOURCE_DIR) / "../shared/captures";
}

Bytes read_hex(const std::filesystem::path &path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << "cannot read " << path;
  return hex(std::string(std::istreambuf_iterator<char>(file), {}));
}

enum class Framing { packets, bare };

// A bare file holds the payload alone.
Bytes payload_of(const Bytes &bytes, Framing framing, PacketType type) {
  if (framing == Framing::bare) return bytes;
  MessageReader reader(largest_login7);
  reader.feed(bytes);
  auto message = reader.next();
  EXPECT_TRUE(message) << message.error().text();
  if (!message || !*message) {
    ADD_FAILURE() << "not a whole message";
    return {};
  }
  EXPECT_EQ((*message)->type, type);
  EXPECT_EQ(reader.unread(), 0u);
  return (*message)->payload;
}

template <class Row> class CaptureTest : public testing::TestWithParam<Row> {
protected:
  void SetUp() override {
    if (!std::filesystem::is_directory(captures()))
      GTEST_SKIP() << "no captures: " << captures() << " is no folder (SQLSHIM_CAPTURES names another)";
  }
  Bytes payload(PacketType type) const {
    const auto &row = this->GetParam();
    return payload_of(read_hex(captures() / row.file), row.framing, type);
  }
};

// --- PRELOGIN.

struct PreloginCapture {
  const char *name;
  const char *file;
  PacketType type;
  const char *description;
  Framing framing = Framing::packets;
};

const PreloginCapture prelogin_captures[] = {
    {"specification", "ms-tds-spec-section4/01-client-prelogin.hex", PacketType::prelogin,
     "VERSION 9.0.0, ENCRYPTION on, INSTOPT, THREADID, MARS 1"},
    {"odbc_17", "packetbeat-sql2022-odbc17/01-client-prelogin.hex", PacketType::prelogin,
     "VERSION 17.10.1, ENCRYPTION off, INSTOPT, THREADID, MARS 0, TRACEID"},
    {"sql_server_2022", "packetbeat-sql2022-odbc17/02-server-prelogin-reply.hex", PacketType::reply,
     "VERSION 16.0.600, ENCRYPTION off, INSTOPT, THREADID, MARS 0, TRACEID"},
    {"msoledbsql_18", "pysqlbridge-sql2025-ntlm/01-client-prelogin-msoledbsql.hex", PacketType::prelogin,
     "VERSION 18.7.5, ENCRYPTION off, INSTOPT, THREADID, MARS 0, TRACEID"},
    {"sql_server_2025", "pysqlbridge-sql2025-ntlm/02-server-prelogin-reply.hex", PacketType::reply,
     "VERSION 17.0.1000, ENCRYPTION off, INSTOPT, THREADID, MARS 0, TRACEID"},
    {"sql_server_2008", "pytds-sql2008sp3/01-server-prelogin-reply.hex", PacketType::reply,
     "VERSION 10.0.5512, ENCRYPTION not_sup, INSTOPT, THREADID, MARS 0"},
    {"azure", "pytds-sql2008sp3/04-server-prelogin-reply-fedauthrequired-azure.hex", PacketType::reply,
     "VERSION 12.0.5349, ENCRYPTION not_sup, INSTOPT, THREADID, MARS 0, FEDAUTHREQUIRED 1"},
};

class CapturedPrelogin : public CaptureTest<PreloginCapture> {};
TEST_P(CapturedPrelogin, goes_both_ways) {
  const Bytes bytes = payload(GetParam().type);
  const auto prelogin = decode_prelogin(bytes);
  ASSERT_TRUE(prelogin) << prelogin.error().text();
  EXPECT_EQ(describe(*prelogin), GetParam().description);
  EXPECT_EQ(encode_prelogin(*prelogin), bytes);
}
INSTANTIATE_TEST_SUITE_P(files, CapturedPrelogin, testing::ValuesIn(prelogin_captures), RowName());

// --- LOGIN7. All drivers here write what is not empty in our own order. They differ in the offsets of empty
// fields, which mean nothing: two of them write what no rule of ours could foresee.

// The bytes with the offset of each empty field set to 0.
Bytes without_empty_offsets(Bytes login7) {
  for (const std::size_t slot : {36, 40, 44, 48, 52, 56, 60, 64, 68, 78, 82, 86})
    if (login7[slot + 2] == 0 && login7[slot + 3] == 0) login7[slot] = login7[slot + 1] = 0;
  return login7;
}

struct LoginCapture {
  const char *name;
  const char *file;
  Version version;
  std::string host, user, app, server, library, database;
  std::size_t sspi;
  std::vector<FeatureId> features;
  bool same_empty_offsets = true;
  Framing framing = Framing::packets;
};

const LoginCapture login_captures[] = {
    {"tds_7_2",
     "ms-tds-spec-section4/02-client-login7-tds72.hex",
     tds_7_2,
     "skostov1",
     "sa",
     "OSQL-32",
     "",
     "ODBC",
     "",
     0,
     {}},
    {"fedauth",
     "ms-tds-spec-section4/03-client-login7-fedauth-securitytoken-tds74.hex",
     tds_7_4,
     "DANBENED3-XGZUO",
     "",
     "SQLCMD",
     "cloud.dev.mscds.com,1435",
     "ODBC",
     "",
     0,
     {FeatureId::fedauth},
     false}, // SQLCMD writes 0 for user, password, SSPI and ChangePassword, also without integrated security
    {"session_recovery",
     "ms-tds-spec-section4/16-client-login7-sessionrecovery.hex",
     tds_7_4,
     "",
     "sa",
     "OSQL-32",
     "",
     "ODBC",
     "tempdb",
     0,
     {FeatureId::session_recovery}},
    {"azure_sql_support",
     "ms-tds-spec-section4/20-client-login7-azuresqlsupport.hex",
     tds_7_4,
     "ZLIN6CLIENT2",
     "cloudsa",
     ".Net SqlClient Data Provider",
     "e2f8876ad658.local.onebox.control.zlinheka6dev4.onebox.xdb.mscds.com,37008",
     ".Net SqlClient Data Provider",
     "testdb",
     0,
     {FeatureId::session_recovery, FeatureId::column_encryption, FeatureId::global_transactions,
      FeatureId::azure_sql_support},
     // SqlClient writes an offset within its FeatureExt for the empty SSPI, AtchDBFile and ChangePassword
     false},
    {"integrated_security",
     "pysqlbridge-sql2025-ntlm/03-client-login7-spnego-payload-no-header-netfx-sqlclient.hex",
     tds_7_4,
     "WORKSTATION1",
     "",
     ".Net SqlClient Data Provider",
     "tcp:127.0.0.1,1337",
     ".Net SqlClient Data Provider",
     "master",
     129,
     {FeatureId::session_recovery, FeatureId::column_encryption, FeatureId::global_transactions},
     true,
     Framing::bare},
};

class CapturedLogin : public CaptureTest<LoginCapture> {};
TEST_P(CapturedLogin, goes_both_ways) {
  const auto &row = GetParam();
  const Bytes bytes = payload(PacketType::login7);
  const auto login = decode_login7(bytes);
  ASSERT_TRUE(login) << login.error().text();
  EXPECT_EQ(login->tds_version, row.version);
  EXPECT_EQ(to_utf8(login->host_name), row.host);
  EXPECT_EQ(to_utf8(login->user_name), row.user);
  EXPECT_EQ(to_utf8(login->app_name), row.app);
  EXPECT_EQ(to_utf8(login->server_name), row.server);
  EXPECT_EQ(to_utf8(login->clt_int_name), row.library);
  EXPECT_EQ(to_utf8(login->database), row.database);
  EXPECT_EQ(login->sspi.size(), row.sspi);
  std::vector<FeatureId> features;
  for (const auto &feature : login->features)
    features.push_back(feature.id);
  EXPECT_EQ(features, row.features);

  const auto encoded = encode_login7(*login);
  ASSERT_TRUE(encoded) << encoded.error().text();
  if (row.same_empty_offsets) {
    EXPECT_EQ(*encoded, bytes);
  }
  EXPECT_EQ(without_empty_offsets(*encoded), without_empty_offsets(bytes));
  const auto again = decode_login7(*encoded);
  ASSERT_TRUE(again) << again.error().text();
  expect_equal(*again, *login);
}
INSTANTIATE_TEST_SUITE_P(files, CapturedLogin, testing::ValuesIn(login_captures), RowName());

// --- Replies.

struct ReplyCapture {
  const char *name;
  const char *file;
  Version version;
  std::size_t tokens;
  const char *program_version; // of LOGINACK, as hex; empty where there is none
  Framing framing = Framing::packets;
};

const ReplyCapture reply_captures[] = {
    {"login_7_2", "ms-tds-spec-section4/04-server-login-response-tds72.hex", tds_7_2, 8, "00000000"},
    {"login_fedauth", "ms-tds-spec-section4/05-server-login-response-fedauth-featureextack-tds74.hex",
     tds_7_4, 9, "0b0008cb"},
    {"login_doneinproc",
     "ms-tds-spec-section4/21-server-login-response-doneinproc-before-loginack-azuresqlsupport.hex", tds_7_4,
     23, "0c0003e8"},
    {"login_2022", "packetbeat-sql2022-odbc17/08-server-login-response.hex", tds_7_4, 9, "10000258"},
    {"login_2008", "pytds-sql2008sp3/02-server-login-response.hex", tds_7_3, 8, "0a001588"},
    {"login_2025", "pysqlbridge-sql2025-ntlm/05-server-login-response-tokens-no-header.hex", tds_7_4, 9,
     "110003e8", Framing::bare},
    {"procedure", "ms-tds-spec-section4/09-server-rpc-reply.hex", tds_7_4, 3, ""},
    {"sessionstate", "ms-tds-spec-section4/18-server-reply-with-sessionstate.hex", tds_7_4, 3, ""},
    {"sessionstate_2022", "packetbeat-sql2022-odbc17/10-server-batch-set-reply-sessionstate.hex", tds_7_4, 2,
     ""},
    {"transaction", "pytds-sql2008sp3/03-server-begin-tran-reply-envchange8.hex", tds_7_3, 2, ""},
    {"done_7_2", "ndpi-mssql-batches-rpc/02-server-s00-done-more-done.hex", tds_7_2, 2, ""},
    {"done_7_1", "ndpi-mssql-batches-rpc/06-server-s01-done-tds71-9byte.hex", tds_7_1, 1, ""},
};

class CapturedReply : public CaptureTest<ReplyCapture> {};
TEST_P(CapturedReply, goes_both_ways) {
  const Bytes bytes = payload(PacketType::reply);
  const auto tokens = decode_tokens(bytes, GetParam().version);
  ASSERT_TRUE(tokens) << tokens.error().text();
  EXPECT_EQ(tokens->size(), GetParam().tokens);
  std::string program_version;
  for (const auto &token : *tokens)
    if (const auto *ack = std::get_if<LoginAck>(&token)) {
      EXPECT_EQ(ack->version, GetParam().version);
      EXPECT_EQ(Bytes(ack->program_version.begin(), ack->program_version.end()),
                hex(GetParam().program_version));
      program_version = GetParam().program_version;
    }
  EXPECT_EQ(program_version, GetParam().program_version);
  EXPECT_EQ(encode_tokens(*tokens, GetParam().version), bytes);
  EXPECT_EQ(decode_tokens(encode_tokens(*tokens, GetParam().version), GetParam().version), tokens);
}
INSTANTIATE_TEST_SUITE_P(files, CapturedReply, testing::ValuesIn(reply_captures), RowName());

class Captures : public testing::Test {
protected:
  void SetUp() override {
    if (!std::filesystem::is_directory(captures()))
      GTEST_SKIP() << "no captures: " << captures() << " is no folder (SQLSHIM_CAPTURES names another)";
  }
};

// The specification's example 4.17 has one stray zero after its third token, and a
// header that does not count it.
TEST_F(Captures, the_broken_example_of_the_specification_is_refused) {
  const Bytes bytes = read_hex(
      captures() /
      "ms-tds-spec-section4/17-server-login-response-sessionrecovery-as-published-one-byte-too-long.hex");
  const auto tokens = decode_tokens(ByteView(bytes).subspan(packet_header_size), tds_7_4);
  ASSERT_FALSE(tokens);
  EXPECT_EQ(tokens.error(),
            (Error{"login reply", "token", "a token that has no place in a login reply (0)", 132}));

  MessageReader reader(largest_login_reply);
  reader.feed(bytes);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.unread(), 1u);
}

TEST_F(Captures, rows_are_no_login_reply) {
  const Bytes bytes = read_hex(captures() / "ms-tds-spec-section4/07-server-sql-batch-reply.hex");
  EXPECT_FALSE(decode_tokens(ByteView(bytes).subspan(packet_header_size), tds_7_2));
}

TEST_F(Captures, an_sspi_message_goes_both_ways) {
  const Bytes bytes = read_hex(captures() / "ms-tds-spec-section4/11-client-sspi-ntlm-type3.hex");
  const Bytes token = payload_of(bytes, Framing::packets, PacketType::sspi);
  EXPECT_EQ(recognise(token), Mechanism::ntlm);
  EXPECT_EQ(encode_sspi_message(token), bytes);
}

TEST_F(Captures, tokens_are_recognised) {
  const auto of = [](const char *file) { return recognise(read_hex(captures() / file)); };
  EXPECT_EQ(of("pysqlbridge-sql2025-ntlm/04-client-login7-sspi-field-spnego-negtokeninit-ntlm.hex"),
            Mechanism::spnego);
  EXPECT_EQ(of("sspi-tokens-windows-not-tds/06-server-ntlm-challenge-raw-win2016-go-mssqldb.hex"),
            Mechanism::ntlm);
}

TEST_F(Captures, an_sspi_token_of_windows_goes_both_ways) {
  const std::vector<Token> tokens{SspiToken{
      read_hex(captures() /
               "sspi-tokens-windows-not-tds/01-server-spnego-accept-completed-krb5-ap-rep-metasploit.hex")}};
  EXPECT_EQ(decode_tokens(encode_tokens(tokens, tds_7_4), tds_7_4), tokens);
}

TEST_F(Captures, every_packet_header_goes_both_ways) {
  int packets = 0;
  for (const auto &entry : std::filesystem::recursive_directory_iterator(captures())) {
    const std::string folder = entry.path().parent_path().filename();
    const std::string file = entry.path().filename();
    const bool framed = folder.starts_with("ms-tds") || folder.starts_with("ndpi") ||
                        folder.starts_with("packetbeat") || folder.starts_with("pytds");
    if (!framed || entry.path().extension() != ".hex" || file.find("raw-record") != std::string::npos)
      continue;
    const Bytes bytes = read_hex(entry.path());
    ByteView rest = bytes;
    while (rest.size() >= packet_header_size) {
      const auto header = decode_packet_header(rest);
      ASSERT_TRUE(header) << file << ": " << header.error().text();
      Writer out;
      encode_packet_header(out, *header);
      EXPECT_EQ(out.bytes(), Bytes(rest.begin(), rest.begin() + packet_header_size)) << file;
      ASSERT_LE(header->length, rest.size()) << file;
      rest = rest.subspan(header->length);
      ++packets;
    }
  }
  EXPECT_GT(packets, 60);
}

TEST_F(Captures, a_request_of_two_packets_is_joined) {
  const Bytes bytes = read_hex(captures() / "ndpi-mssql-batches-rpc/23-client-s05-rpc-two-packets.hex");
  const Bytes payload = payload_of(bytes, Framing::packets, PacketType::rpc);
  EXPECT_EQ(payload.size(), bytes.size() - 2 * packet_header_size);
}

} // namespace tds::test

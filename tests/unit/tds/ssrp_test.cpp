#include "tds/ssrp.hpp"

#include "support.hpp"

namespace tds::test {

Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

/// SVR_RESP with this RESP_DATA.
Bytes answer(std::string_view data) {
  Writer out;
  out.u8(0x05);
  out.u16_le(static_cast<std::uint16_t>(data.size()));
  out.append(bytes_of(data));
  return std::move(out).bytes();
}

TEST(SsrpQuestion, is_the_name_and_a_nul) {
  EXPECT_EQ(encode_ssrp_question("INST"), hex("04 494e5354 00"));
  EXPECT_EQ(decode_ssrp_question(*encode_ssrp_question("INST")), SsrpQuestion(AskInstance{"INST"}));
  EXPECT_EQ(decode_ssrp_question(hex("04 494e5354")), SsrpQuestion(AskInstance{"INST"}))
      << "servers take both";
  EXPECT_EQ(decode_ssrp_question(hex("02")), SsrpQuestion(AskAll{}));
  EXPECT_EQ(decode_ssrp_question(hex("03")), SsrpQuestion(AskAll{}));
}

TEST(SsrpQuestion, has_a_name_that_fits) {
  EXPECT_TRUE(encode_ssrp_question(std::string(longest_instance, 'I')));
  for (const auto &name : {std::string(), std::string(longest_instance + 1, 'I'), std::string("A;B"),
                           std::string("A\0", 2), std::string("A\n"), std::string("A\x7F")})
    EXPECT_FALSE(encode_ssrp_question(name)) << name;
}

TEST(SsrpQuestion, of_another_kind_is_not_answered) {
  for (const auto *message : {"", "04", "04 00", "04 413b42 00", "05", "0f 01 494e5354 00", "ff"})
    EXPECT_FALSE(decode_ssrp_question(hex(message))) << message;
  auto longer = bytes_of("\x04" + std::string(longest_instance + 1, 'I'));
  EXPECT_FALSE(decode_ssrp_question(longer));
}

// A real server's (SQL Server 2019 on Windows; names changed).
constexpr std::string_view real =
    "ServerName;SQL1;InstanceName;INST;IsClustered;No;Version;15.0.2000.5;tcp;51433;np;\\\\SQL1\\pipe\\MSSQL$INST\\sql\\query;;";

TEST(SsrpAnswer, tells_port_and_pipe) {
  const auto said = decode_ssrp_answer(answer(real), "inst");
  ASSERT_TRUE(said) << said.error().text();
  EXPECT_EQ(*said, (SsrpInstance{.server = "SQL1",
                                 .instance = "INST",
                                 .version = "15.0.2000.5",
                                 .clustered = false,
                                 .port = 51433,
                                 .pipe = "\\\\SQL1\\pipe\\MSSQL$INST\\sql\\query"}));
  EXPECT_EQ(decode_ssrp_answer(encode_ssrp_answer({*said}), "INST"), *said);
}

TEST(SsrpAnswer, of_an_instance_that_does_not_listen_on_tcp) {
  const auto said =
      decode_ssrp_answer(answer("servername;S;INSTANCENAME;I;IsClustered;Yes;Version;1;via;S,0:1433;;"), "I");
  ASSERT_TRUE(said) << said.error().text();
  EXPECT_EQ(*said,
            (SsrpInstance{
                .server = "S", .instance = "I", .version = "1", .clustered = true, .port = {}, .pipe = {}}));
}

TEST(SsrpAnswer, ends_with_the_first_empty_name) {
  EXPECT_TRUE(decode_ssrp_answer(answer(std::string(real) + "InstanceName;OTHER;tcp;1;;"), "INST"));
}

struct SsrpRow {
  const char *name;
  Bytes datagram;
  const char *complaint;
};
const SsrpRow refused[] = {
    {"nothing", {}, "SVR_RESP"},
    {"another_message", hex("04 0000"), "SVR_RESP"},
    {"size_cut", hex("05 00"), "RESP_SIZE"},
    {"size_too_small", hex("05 0100 3b3b"), "RESP_SIZE"},
    {"size_too_large", hex("05 0300 3b3b"), "RESP_SIZE"},
    {"longer_than_the_protocol_allows", answer(std::string(largest_ssrp_answer - 1, 'x') + ";;"),
     "RESP_SIZE"},
    {"no_end", answer("InstanceName;INST"), "RESP_DATA"},
    {"no_empty_name_at_the_end", answer("InstanceName;INST;"), "RESP_DATA"},
    {"name_without_value", answer("InstanceName;INST;tcp"), "RESP_DATA"},
    {"no_instance", answer("ServerName;S;tcp;1433;;"), "InstanceName"},
    {"another_instance", answer("InstanceName;INST2;tcp;1433;;"), "InstanceName"},
    {"port_0", answer("InstanceName;INST;tcp;0;;"), "tcp"},
    {"port_65536", answer("InstanceName;INST;tcp;65536;;"), "tcp"},
    {"port_that_is_none", answer("InstanceName;INST;tcp;14x3;;"), "tcp"},
    {"port_empty", answer("InstanceName;INST;tcp;;;"), "tcp"},
};
class SsrpRefused : public testing::TestWithParam<SsrpRow> {};
TEST_P(SsrpRefused, with_the_place) {
  const auto said = decode_ssrp_answer(GetParam().datagram, "INST");
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().field, GetParam().complaint) << said.error().text();
}
INSTANTIATE_TEST_SUITE_P(rows, SsrpRefused, testing::ValuesIn(refused), RowName());

TEST(SsrpAnswer, holds_as_many_instances_as_fit) {
  const SsrpInstance one{.server = std::string(300, 's'),
                         .instance = "I",
                         .version = "1",
                         .clustered = false,
                         .port = 1,
                         .pipe = {}};
  const auto bytes = encode_ssrp_answer(std::vector<SsrpInstance>(1000, one));
  EXPECT_LE(bytes.size(), 3u + 0xFFFF);
  EXPECT_GT(bytes.size(), 65'000u);
  EXPECT_EQ(bytes[1] | bytes[2] << 8, static_cast<int>(bytes.size() - 3));
}

} // namespace tds::test

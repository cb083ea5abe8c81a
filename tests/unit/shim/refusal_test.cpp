#include "shim/refusal.hpp"

#include "shim/diagnosis/client_text.hpp"

#include <gmock/gmock.h>

namespace {

using namespace shim;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

Diagnosis diagnosis(std::string sentence) {
  Diagnosis made;
  made.cause = Cause::limit;
  made.sentence = std::move(sentence);
  made.remedy = "Wait.";
  return made;
}

/// The texts of its ERRORs, and whether the answer to a PRELOGIN stands before them.
struct Read {
  bool prelogin = false;
  std::vector<std::string> texts;
};
Read read(const tds::Bytes &bytes) {
  Read found;
  tds::MessageReader reader(65536);
  reader.feed(bytes);
  while (const auto message = *reader.next()) {
    if (message->payload[0] == 0x00) { // the first option of a PRELOGIN is VERSION
      found.prelogin = true;
      continue;
    }
    for (const auto &token : *tds::decode_tokens(message->payload, {}))
      if (const auto *error = std::get_if<tds::ServerMessage>(&token)) {
        EXPECT_EQ(error->number, refusal_number);
        found.texts.push_back(tds::to_utf8(error->text));
      }
  }
  return found;
}

TEST(RefusalBytes, OneErrorThatNamesCauseAndConnection) {
  const auto told = read(refusal_bytes(diagnosis("64 logins are under way."), "7f3a01c2", {}, {}));
  EXPECT_FALSE(told.prelogin);
  ASSERT_EQ(told.texts.size(), 1u);
  EXPECT_THAT(told.texts[0],
              AllOf(StartsWith("limit: 64 logins"), HasSubstr("(sqlshim connection 7f3a01c2)")));
}

TEST(RefusalBytes, WhoHasSaidNothingYetGetsTheAnswerToItsPreloginFirst) {
  const auto told = read(refusal_bytes(diagnosis("x"), "7f3a01c2", {.unread = true}, {}));
  EXPECT_TRUE(told.prelogin);
  EXPECT_EQ(told.texts.size(), 1u);
}

TEST(RefusalBytes, ShortTextsArePartsAndTheFirstNamesTheConnection) {
  const auto told =
      read(refusal_bytes(diagnosis(std::string(430, 'x')), "7f3a01c2", {.short_texts = true}, {}));
  ASSERT_EQ(told.texts.size(), 2u);
  EXPECT_THAT(told.texts[0], EndsWith("... (sqlshim connection 7f3a01c2)"));
  EXPECT_LT(told.texts[0].size(), 499u);
}

tds::ServerMessage said_by_server(std::uint32_t number, std::uint8_t severity) {
  tds::ServerMessage said;
  said.number = number;
  said.severity = severity;
  said.state = 38;
  said.text = u"Cannot open database \"absent\" requested by the login.";
  said.server = u"SQL1";
  said.procedure = u"p";
  said.line = 65536;
  return said;
}

TEST(RefusalBytes, TheServersOwnWordsComeFirstAndOursHasTheirNumber) {
  const std::vector said{said_by_server(5701, 0), said_by_server(4060, 11), said_by_server(18456, 14)};
  for (const auto version : {tds::tds_7_1, tds::tds_7_4}) {
    const auto bytes = refusal_bytes(diagnosis("x"), "7f3a01c2", {.dialect = {.version = version}}, {}, said);
    tds::MessageReader reader(65536);
    reader.feed(bytes);
    const auto tokens = *tds::decode_tokens((*reader.next())->payload, version);
    ASSERT_EQ(tokens.size(), said.size() + 2);
    for (std::size_t i = 0; i < said.size(); ++i)
      EXPECT_EQ(std::get<tds::ServerMessage>(tokens[i]).text, said[i].text);
    if (version == tds::tds_7_4)
      for (std::size_t i = 0; i < said.size(); ++i)
        EXPECT_EQ(std::get<tds::ServerMessage>(tokens[i]), said[i]) << "unchanged";
    const auto &ours = std::get<tds::ServerMessage>(tokens[said.size()]);
    EXPECT_EQ(ours.server, u"sqlshim");
    EXPECT_EQ(ours.number, 18456u) << "the last one: what decides for a driver that goes by it";
    EXPECT_EQ(ours.severity, 14);
    EXPECT_EQ(ours.state, 38);
    EXPECT_THAT(tds::to_utf8(ours.text), HasSubstr("(sqlshim connection 7f3a01c2)"));
  }
}

TEST(FinalNumber, IsTheOneThatJdbcDoesNotRepeat) {
  tds::Login7 login;
  EXPECT_EQ(final_number(login), refusal_number);
  login.clt_int_name = u"Microsoft JDBC Driver 12.6";
  EXPECT_EQ(final_number(login), 18456u);
}

TEST(UnderOdbc, IsWhoSaysSoOrSaysNothing) {
  tds::Login7 login;
  EXPECT_TRUE(under_odbc(login));
  login.clt_int_name = u"ODBC";
  EXPECT_TRUE(under_odbc(login));
  login.clt_int_name = u"Microsoft JDBC Driver 12.6";
  EXPECT_FALSE(under_odbc(login));
}

TEST(InParts, CutBetweenWordsAndNeverInsideACharacter) {
  using testing::ElementsAre;
  EXPECT_THAT(in_parts("", 8), ElementsAre(""));
  EXPECT_THAT(in_parts("eight by", 8), ElementsAre("eight by"));
  EXPECT_THAT(in_parts("nine byte", 8), ElementsAre("nine", "byte"));
  EXPECT_THAT(in_parts("12345678 9", 8), ElementsAre("12345678", "9")) << "the blank itself may be beyond";
  EXPECT_THAT(in_parts("123456789", 8), ElementsAre("12345678", "9"));
  EXPECT_THAT(in_parts("1234567\u20ac9", 8), ElementsAre("1234567", "\u20ac9"));
  EXPECT_THAT(in_parts(" 3456789", 7), ElementsAre(" 345678", "9"));
  EXPECT_THAT(in_parts("a b c d e f g h", 9), ElementsAre("a b c d e", "f g h"));
}

} // namespace

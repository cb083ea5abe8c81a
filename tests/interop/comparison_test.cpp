// The comparison itself: what differs is found, and told so that it can be looked
// for; what may differ is not.
#include "tests/interop/comparison.hpp"

#include "tds/packet.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace {

using namespace testing;
using namespace interop;

tds::Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }

tds::Bytes packet(tds::PacketType type, const tds::Bytes &payload, std::uint16_t spid = 0) {
  return tds::encode_message(type, payload, 4096, spid);
}

tds::Bytes joined(std::initializer_list<tds::Bytes> parts) {
  tds::Bytes all;
  for (const auto &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// A batch with ALL_HEADERS that hold this transaction descriptor.
tds::Bytes batch(std::string_view text, std::uint8_t descriptor = 0) {
  return joined(
      {{22, 0, 0, 0, 18, 0, 0, 0, 2, 0, descriptor, 0, 0, 0, 0x34, 0, 0, 0, 1, 0, 0, 0}, bytes(text)});
}

tds::Bytes frame(std::uint8_t flags, std::uint8_t session, const tds::Bytes &data = {}) {
  const auto size = static_cast<std::uint8_t>(16 + data.size());
  return joined({{0x53, flags, session, 0, size, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0}, data});
}

Trace trace(const tds::Bytes &received, const nlohmann::json &facts = {}) {
  return {{"a line"}, {connection_of(1, {received.begin(), received.end()}, facts)}};
}

const tds::Bytes login =
    joined({packet(tds::PacketType::prelogin, bytes("prelogin")),
            packet(tds::PacketType::login7, bytes("sa's")), packet(tds::PacketType::sspi, bytes("token"))});

TEST(Comparison, LoginsAndSpidsAndTransactionsMayDiffer) {
  const auto direct = trace(joined({packet(tds::PacketType::login7, bytes("sql")),
                                    packet(tds::PacketType::sql_batch, batch("select 1", 0x33), 51)}));
  const auto through =
      trace(joined({login, packet(tds::PacketType::sql_batch, batch("select 1", 0x77), 99)}));
  const auto compared = compare("driver, step", direct, through);
  EXPECT_THAT(compared.differences, IsEmpty());
  EXPECT_EQ(compared.comparisons, 5) << "lines and how many, connections, messages and how many";
}

TEST(Comparison, AByteIsToldWithItsPlace) {
  const auto direct = trace(joined({login, packet(tds::PacketType::sql_batch, bytes("select 1")),
                                    packet(tds::PacketType::rpc, bytes("a\0b"))}));
  const auto through = trace(joined({login, packet(tds::PacketType::sql_batch, bytes("select 1")),
                                     packet(tds::PacketType::rpc, bytes("a\x01\xFF"))}));
  const auto compared = compare("tedious, types", direct, through);
  ASSERT_THAT(compared.differences, SizeIs(1));
  EXPECT_THAT(compared.differences[0], AllOf(HasSubstr("tedious, types, connection 1, message 2"),
                                             HasSubstr("direct:  rpc, 1 packet(s), 1 bytes: a\n"),
                                             HasSubstr("through: rpc, 1 packet(s), 3 bytes: a\\x01\\xff")));
}

TEST(Comparison, TheDifferingPartOfALongMessageIsShown) {
  auto text = std::string(100'000, 'x');
  const auto direct = trace(joined({login, packet(tds::PacketType::rpc, bytes(text))}));
  text[70'000] = '!';
  const auto compared =
      compare("d", direct, trace(joined({login, packet(tds::PacketType::rpc, bytes(text))})));
  ASSERT_THAT(compared.differences, SizeIs(1));
  EXPECT_THAT(compared.differences[0], AllOf(HasSubstr("xx!xx"), HasSubstr("…")));
  EXPECT_LT(compared.differences[0].size(), 1000u);
}

TEST(Comparison, TypesResetBitsAndPacketsCount) {
  const auto direct = trace(joined({login, packet(tds::PacketType::sql_batch, bytes("one two"))}));
  EXPECT_THAT(compare("d", direct, trace(joined({login, packet(tds::PacketType::rpc, bytes("one two"))})))
                  .differences,
              SizeIs(1))
      << "another type";
  auto reset = packet(tds::PacketType::sql_batch, bytes("one two"));
  reset[1] |= 0x08;
  EXPECT_THAT(compare("d", direct, trace(joined({login, reset}))).differences, SizeIs(1))
      << "RESETCONNECTION";
  EXPECT_THAT(
      compare("d", direct,
              trace(joined({login, tds::encode_message(tds::PacketType::sql_batch, bytes("one two"), 12)})))
          .differences,
      SizeIs(1))
      << "two packets";
}

TEST(Comparison, WhatIsMissingOrTooMuchOrUnreadableIsFound) {
  const auto one = packet(tds::PacketType::sql_batch, bytes("select 1"));
  const auto direct = trace(joined({login, one}));
  EXPECT_THAT(compare("d", direct, trace(login)).differences,
              Contains(HasSubstr("1 messages direct, 0 through")));
  EXPECT_THAT(compare("d", direct, trace(joined({login, one, one}))).differences,
              Contains(HasSubstr("1 messages direct, 2 through")));
  EXPECT_THAT(compare("d", direct, {{"a line"}, {}}).differences,
              Contains(HasSubstr("1 connections direct, 0 through")));
  EXPECT_THAT(compare("d", direct, trace(joined({login, one, bytes("half")}))).differences,
              Contains(HasSubstr("through: unreadable")));
  auto other = direct;
  other.lines = {"another line"};
  EXPECT_THAT(compare("d", direct, other).differences,
              Contains(HasSubstr("line 1\n  direct:  a line\n  through: another line")));
}

TEST(Comparison, MarsSessionsAreReadApart) {
  const auto a = packet(tds::PacketType::sql_batch, bytes("a")),
             b = packet(tds::PacketType::sql_batch, bytes("b"));
  constexpr std::uint8_t syn = 1, ack = 2, data = 8;
  const auto direct =
      trace(joined({login, frame(syn, 0), frame(syn, 1), frame(data, 0, a), frame(data, 1, b)}));
  const auto through = trace(
      joined({login, frame(syn, 0), frame(syn, 1), frame(ack, 0), frame(data, 1, b), frame(data, 0, a)}));
  EXPECT_THAT(compare("d", direct, through).differences, IsEmpty())
      << "ACKs and the order between sessions depend on the pace";
  const auto swapped =
      trace(joined({login, frame(syn, 0), frame(syn, 1), frame(data, 0, b), frame(data, 1, a)}));
  EXPECT_THAT(compare("d", direct, swapped).differences, SizeIs(2));
}

TEST(Comparison, OfLogin7AuthenticationAloneMayDiffer) {
  const nlohmann::json direct = {{"login7",
                                  {{"app", "a"},
                                   {"host", "h"},
                                   {"packet_size", 8000},
                                   {"user", "sa"},
                                   {"integrated", false},
                                   {"pid", 1},
                                   {"option_flags", {0xE0, 0x03, 0}}}}};
  auto through = direct;
  through["login7"].update(
      {{"user", ""}, {"integrated", true}, {"pid", 2}, {"option_flags", {0xE0, 0x83, 0}}});
  EXPECT_THAT(compare("d", trace(login, direct), trace(login, through)).differences, IsEmpty());
  through["login7"]["packet_size"] = 4096;
  EXPECT_THAT(compare("d", trace(login, direct), trace(login, through)).differences,
              ElementsAre(HasSubstr("LOGIN7 packet_size\n  direct:  8000\n  through: 4096")));
}

TEST(Comparison, OfManyAtOnceTheOrderIsOfNoMatter) {
  Trace direct, through;
  for (int i = 0; i < 10; ++i) {
    const auto received = joined(
        {login, packet(tds::PacketType::sql_batch, bytes(std::string(1, static_cast<char>('a' + i))))});
    direct.connections.push_back(connection_of(i, {received.begin(), received.end()}, {}));
    through.connections.insert(through.connections.begin(), direct.connections.back());
  }
  EXPECT_THAT(compare("d", direct, through).differences, IsEmpty());
  through.connections[3].messages[0].payload[0] = 'z';
  EXPECT_THAT(compare("d", direct, through).differences, Not(IsEmpty()));
}

TEST(Comparison, StepsAreReadFromAProgrammesOutput) {
  const auto steps = steps_of("noise\nstep types: a: b\nstep types: c\nstep prepared: - there is none\n");
  EXPECT_THAT(steps, ElementsAre(Pair("prepared", ElementsAre("- there is none")),
                                 Pair("types", ElementsAre("a: b", "c"))));
}

} // namespace

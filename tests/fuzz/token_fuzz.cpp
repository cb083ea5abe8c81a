// The tokens of a login reply (tds/token.hpp).
#include "tds/token.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

constexpr tds::Version versions[] = {tds::tds_7_4, tds::tds_7_0, tds::tds_7_1,
                                     tds::tds_7_2, tds::tds_7_3, tds::tds_8_0};

void check_refusal(const tds::ServerMessage &message, tds::Version version) {
  for (const bool tds4 : {false, true}) {
    const auto wire = tds::encode_refusal({.tds4 = tds4, .version = version}, message);
    tds::MessageReader reader(2 * 65536);
    reader.feed(wire);
    const auto reply = reader.next();
    fuzz::require(reply && *reply && reader.unread() == 0, "a refusal is one message");
    if (tds4) continue;
    const auto tokens = tds::decode_tokens((*reply)->payload, version);
    fuzz::require(tokens && tokens->size() == 2 &&
                      std::get<tds::ServerMessage>((*tokens)[0]).number == message.number,
                  "a refusal can be read");
  }
}

} // namespace

FUZZ_TARGET(token, 65536) {
  fuzz::Cursor in(input);
  const tds::Version version = versions[in.u8() % std::size(versions)];
  const auto payload = in.rest();

  // One by one, as the machine reads them: a token holds its own bytes and little more (a feature of
  // 5 bytes is 32 in memory).
  tds::Reader reader(payload, "login reply");
  while (reader.left() > 0) {
    const auto left = reader.left();
    const auto token = fuzz::within(1024 + 24 * left, [&] { return tds::decode_token(reader, version); });
    if (!token) break;
    fuzz::require(reader.left() < left, "a token has at least one byte");
    if (const auto *change = std::get_if<tds::EnvChange>(&*token)) {
      change->new_text();
      if (const auto routing = tds::decode_routing(*change))
        fuzz::require(
            routing->port != 0 && !routing->server.empty() &&
                routing->enhanced == (change->type == tds::EnvChangeType::enhanced_routing) &&
                (routing->enhanced || routing->database.empty()),
            "a routing names a server and a port, and a database only where it is the enhanced one");
    }
    if (const auto *message = std::get_if<tds::ServerMessage>(&*token)) check_refusal(*message, version);
  }

  const auto tokens = tds::decode_tokens(payload, version);
  if (!tokens) return;
  fuzz::require(reader.left() == 0, "one by one and all at once agree");
  const auto bytes = tds::encode_tokens(*tokens, version);
  fuzz::require(std::ranges::equal(bytes, payload), "a token has one encoding");
  if (version == tds::tds_8_0)
    fuzz::require(tds::decode_tokens(payload, tds::tds_7_4) == *tokens, "TDS 8.0 is laid out like 7.4");
}

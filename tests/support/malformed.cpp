#include "tests/support/malformed.hpp"

#include <algorithm>

namespace test {

namespace {

using tds::Bytes;
using tds::PacketType;

// --- What all mutations are made of.

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const auto &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

Bytes prefix(Bytes bytes, std::size_t size) {
  bytes.resize(std::min(size, bytes.size()));
  return bytes;
}

/// A place inside `bytes`, neither its beginning nor its end.
std::size_t inside(const Bytes &bytes, Random &random) {
  return bytes.size() < 2 ? 0 : random.between(1, bytes.size() - 1);
}

void put_le16(Bytes &bytes, std::size_t at, std::size_t value) {
  if (at + 2 > bytes.size()) return;
  bytes[at] = static_cast<std::uint8_t>(value);
  bytes[at + 1] = static_cast<std::uint8_t>(value >> 8);
}
void put_le32(Bytes &bytes, std::size_t at, std::size_t value) {
  put_le16(bytes, at, value);
  put_le16(bytes, at + 2, value >> 16);
}
void put_be16(Bytes &bytes, std::size_t at, std::size_t value) {
  if (at + 2 > bytes.size()) return;
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

Bytes message(PacketType type, const Bytes &payload) { return tds::encode_message(type, payload); }

/// A packet whose header says what it likes.
Bytes packet(PacketType type, std::uint8_t status, std::size_t length, const Bytes &payload) {
  Bytes bytes{static_cast<std::uint8_t>(type), status, 0, 0, 0, 0, 1, 0};
  put_be16(bytes, 2, length);
  return joined({bytes, payload});
}

Bytes flipped(Bytes bytes, Random &random) {
  for (std::size_t count = random.between(1, 8); count > 0 && !bytes.empty(); --count)
    bytes[random.below(bytes.size())] ^= static_cast<std::uint8_t>(1u << random.below(8));
  return bytes;
}

Bytes shuffled(const Bytes &bytes, Random &random) {
  Bytes out;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(random.between(1, 24), bytes.size() - at);
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    if (!random.one_in(12))
      out.insert(out.end(), begin,
                 begin + static_cast<std::ptrdiff_t>(size)); // else left out
    if (random.one_in(12)) {
      const auto more = random.bytes(random.between(1, 24));
      out.insert(out.end(), more.begin(), more.end());
    }
    at += size;
  }
  return out;
}

/// A message cut somewhere; whoever cuts leaves in one of three ways.
Conversation cut(std::vector<Act> before, const Bytes &bytes, std::size_t size, Random &random) {
  before.push_back(Sends{prefix(bytes, size)});
  // Waiting in silence costs the partner's whole deadline: seldom.
  const auto leave = random.one_in(24) ? Leave::waits : random.one_in(2) ? Leave::half_closes : Leave::resets;
  return {{}, std::move(before), leave};
}

Conversation says(std::vector<Act> before, Bytes bytes) {
  before.push_back(Sends{std::move(bytes)});
  return {{}, std::move(before), Leave::waits};
}

/// What costs both sides much is tried in its full size now and then.
std::size_t many_or_very_many(std::size_t many, std::size_t very_many, Random &random) {
  return random.one_in(12) ? very_many : many;
}

/// The numbers that lengths and offsets are tried with, for something of
/// `size`.
std::size_t odd_length(std::size_t size, Random &random) {
  const std::size_t choices[] = {0, 1, size - 1, size + 1, 2 * size, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF};
  return random.of(choices);
}

// --- PRELOGIN, on either leg.

Bytes plain_prelogin() {
  tds::Prelogin prelogin;
  prelogin.set_version({16, 0, 600, 0});
  prelogin.set_encryption(tds::Encryption::not_sup);
  prelogin.set(tds::PreloginToken::instopt, {0});
  prelogin.set(tds::PreloginToken::threadid, {0, 0, 0, 1});
  prelogin.set_mars(false);
  return tds::encode_prelogin(prelogin);
}

struct PreloginFault {
  std::string_view name;
  /// The whole payload of a PRELOGIN that is wrong in one way.
  Bytes (*make)(Bytes good, Random &random);
};

std::size_t options_of(const Bytes &prelogin) {
  std::size_t count = 0;
  while (5 * count < prelogin.size() && prelogin[5 * count] != 0xFF)
    ++count;
  return count;
}

constexpr PreloginFault prelogin_faults[] = {
    {"empty", [](Bytes, Random &) { return Bytes{}; }},
    {"option offset past the end",
     [](Bytes good, Random &random) {
       put_be16(good, 5 * random.below(options_of(good) - 1) + 1, good.size() + random.below(100));
       return good;
     }},
    {"option offset wrapped",
     [](Bytes good, Random &random) {
       put_be16(good, 5 * random.below(2) + 1, 0xFFFF - random.below(4));
       return good;
     }},
    {"option offset into the table",
     [](Bytes good, Random &random) {
       put_be16(good, 5 * random.below(2) + 1, random.below(5 * options_of(good)));
       return good;
     }},
    {"option length zero, one or huge",
     [](Bytes good, Random &random) {
       put_be16(good, 3, odd_length(6, random));
       return good;
     }},
    {"option twice",
     [](Bytes good, Random &random) {
       const std::size_t at = 5 * random.between(1, options_of(good) - 1);
       good[at] = good[at - 5];
       return good;
     }},
    {"table without its end",
     [](Bytes good, Random &) {
       good.resize(5 * options_of(good));
       return good;
     }},
    {"VERSION not first",
     [](Bytes good, Random &) {
       std::swap_ranges(good.begin(), good.begin() + 5, good.begin() + 5);
       return good;
     }},
    {"many options that share their bytes",
     [](Bytes, Random &random) {
       const std::size_t count = random.between(20, 200);
       Bytes table;
       for (std::size_t i = 0; i < count; ++i) {
         Bytes entry{static_cast<std::uint8_t>(i == 0 ? 0 : 0x20 + i), 0, 0, 0, 0};
         put_be16(entry, 1, 5 * count + 1);
         put_be16(entry, 3, i == 0 ? 6 : 1000);
         table = joined({table, entry});
       }
       return joined({table, {0xFF}, Bytes(1000, 7)});
     }},
    {"ENCRYPTION unknown",
     [](Bytes good, Random &random) {
       const std::size_t at = static_cast<std::size_t>(good[6]) << 8 | good[7];
       if (at < good.size()) good[at] = static_cast<std::uint8_t>(random.between(4, 0x3F));
       return good;
     }},
};

// --- The client leg.

struct ClientClass {
  std::string_view name;
  Conversation (*make)(const HonestLogin &honest, Random &random);
};

Bytes prelogin_of(const HonestLogin &honest) { return honest.prelogin ? *honest.prelogin : plain_prelogin(); }

/// The honest beginning: PRELOGIN and its answer, where the version has one.
std::vector<Act> greeted(const HonestLogin &honest) {
  if (!honest.prelogin) return {};
  return {Sends{message(PacketType::prelogin, *honest.prelogin)}, Awaits{}};
}

Conversation logs_in(const HonestLogin &honest, Bytes login7) {
  return says(greeted(honest), message(PacketType::login7, login7));
}

// Where the pairs of offset and length stand (MS-TDS 2.2.6.4), those of texts;
// before TDS 7.2 the last is not there.
constexpr std::size_t text_slots[] = {36, 40, 44, 48, 52, 60, 64, 68, 82};

/// A LOGIN7 with one text that is there and has this offset; its length then
/// says that it holds something.
Bytes with_offset(Bytes login7, std::size_t offset, Random &random) {
  const auto slot = random.of(text_slots);
  put_le16(login7, slot, offset);
  put_le16(login7, slot + 2, random.between(1, 16));
  return login7;
}

/// The honest login with an extension: features are the same for every client.
Bytes with_features(const HonestLogin &honest, std::vector<tds::Feature> features) {
  auto login = tds::decode_login7(honest.login7);
  if (!login) return honest.login7;
  login->tds_version = tds::tds_7_4;
  login->features = std::move(features);
  return *tds::encode_login7(*login);
}
const std::vector<tds::Feature> two_features{{tds::FeatureId::utf8_support, {1}},
                                             {tds::FeatureId::session_recovery, Bytes(20, 1)}};
/// Where the FeatureExt begins.
std::size_t features_at(const Bytes &login7) {
  const std::size_t at = static_cast<std::size_t>(login7[56]) | static_cast<std::size_t>(login7[57]) << 8;
  return static_cast<std::size_t>(login7[at]) | static_cast<std::size_t>(login7[at + 1]) << 8;
}

template <std::size_t Fault> Conversation prelogin_fault(const HonestLogin &honest, Random &random) {
  return says({}, message(PacketType::prelogin, prelogin_faults[Fault].make(prelogin_of(honest), random)));
}

constexpr ClientClass client_table[] = {
    {"nothing at all", [](const HonestLogin &,
                          Random &random) { return cut({}, {}, 0, random); }},
    {"random bytes",
     [](const HonestLogin &, Random &random) {
       return says({}, random.bytes(random.between(1, 5000)));
     }},
    {"a first byte that begins nothing",
     [](const HonestLogin &, Random &random) {
       auto bytes = random.bytes(200);
       constexpr std::uint8_t first[] = {0x00, 0x01, 0x03, 0x04, 0x06, 0x07,
                                         0x08, 0x0E, 0x11, 0x13, 0x7F, 0xFF};
       bytes[0] = random.of(first);
       return says({}, bytes);
     }},
    {"TLS first",
     [](const HonestLogin &, Random &random) {
       return says({}, joined({{0x16, 0x03, 0x01, 0x02, 0x00, 0x01},
                               random.bytes(300)}));
     }},
    {"HTTP",
     [](const HonestLogin &, Random &) {
       constexpr std::string_view text = "GET / HTTP/1.1\r\nHost: sql1\r\n\r\n";
       return says({}, Bytes(text.begin(), text.end()));
     }},
    {"a TDS 4.2 login",
     [](const HonestLogin &, Random &random) {
       return says({},
                   packet(PacketType::tds4_login, 0, 512, random.bytes(504)));
     }},
    {"PRELOGIN cut in its header",
     [](const HonestLogin &honest, Random &random) {
       return cut({}, message(PacketType::prelogin, prelogin_of(honest)),
                  random.between(1, 7), random);
     }},
    {"PRELOGIN cut in its options",
     [](const HonestLogin &honest, Random &random) {
       const auto bytes = message(PacketType::prelogin, prelogin_of(honest));
       return cut({}, bytes, random.between(8, bytes.size() - 1), random);
     }},
    {"PRELOGIN whose header's length is below 8",
     [](const HonestLogin &honest, Random &random) {
       return says({}, packet(PacketType::prelogin, 1, random.below(8),
                              prelogin_of(honest)));
     }},
    {"PRELOGIN whose header's length is huge",
     [](const HonestLogin &honest, Random &random) {
       return says({},
                   packet(PacketType::prelogin, 1, random.between(4097, 0xFFFF),
                          prelogin_of(honest)));
     }},
    {"PRELOGIN that changes its type",
     [](const HonestLogin &honest, Random &) {
       return says({}, joined({packet(PacketType::prelogin, 0, 8 + 20,
                                      prefix(prelogin_of(honest), 20)),
                               packet(PacketType::login7, 1, 8, {})}));
     }},
    {"PRELOGIN without end",
     [](const HonestLogin &, Random &) {
       Bytes bytes;
       for (int i = 0; i < 20; ++i)
         bytes =
             joined({bytes, packet(PacketType::prelogin, 0, 508, Bytes(500))});
       return says({}, bytes);
     }},
    {"PRELOGIN: empty", prelogin_fault<0>},
    {"PRELOGIN: option offset past the end", prelogin_fault<1>},
    {"PRELOGIN: option offset wrapped", prelogin_fault<2>},
    {"PRELOGIN: option offset into the table", prelogin_fault<3>},
    {"PRELOGIN: option length zero, one or huge", prelogin_fault<4>},
    {"PRELOGIN: option twice", prelogin_fault<5>},
    {"PRELOGIN: table without its end", prelogin_fault<6>},
    {"PRELOGIN: VERSION not first", prelogin_fault<7>},
    {"PRELOGIN: many options that share their bytes", prelogin_fault<8>},
    {"PRELOGIN: ENCRYPTION unknown", prelogin_fault<9>},
    {"PRELOGIN twice",
     [](const HonestLogin &honest, Random &) {
       const auto prelogin = message(PacketType::prelogin, prelogin_of(honest));
       return says({Sends{prelogin}, Awaits{}}, prelogin);
     }},
    {"a batch where LOGIN7 is due",
     [](const HonestLogin &honest, Random &random) {
       return says({Sends{message(PacketType::prelogin, prelogin_of(honest))},
                    Awaits{}},
                   message(PacketType::sql_batch, random.bytes(40)));
     }},
    {"garbage between PRELOGIN and LOGIN7",
     [](const HonestLogin &honest, Random &random) {
       return says({Sends{message(PacketType::prelogin, prelogin_of(honest))},
                    Awaits{}, Sends{random.bytes(random.between(1, 40))}},
                   message(PacketType::login7, honest.login7));
     }},
    {"LOGIN7 before PRELOGIN",
     [](const HonestLogin &honest, Random &) {
       return says(
           {}, joined({message(PacketType::login7, honest.login7),
                       message(PacketType::prelogin, prelogin_of(honest))}));
     }},
    {"TLS where LOGIN7 is due",
     [](const HonestLogin &honest, Random &random) {
       return says({Sends{message(PacketType::prelogin, prelogin_of(honest))},
                    Awaits{}},
                   joined({{0x16, 0x03, 0x01, 0x02, 0x00}, random.bytes(100)}));
     }},
    {"LOGIN7 as a message of another type",
     [](const HonestLogin &honest, Random &random) {
       constexpr PacketType types[] = {
           PacketType::sql_batch, PacketType::rpc,  PacketType::sspi,
           PacketType::reply,     PacketType::bulk, PacketType::fedauth_token};
       return says(greeted(honest), message(random.of(types), honest.login7));
     }},
    {"LOGIN7 cut in its header",
     [](const HonestLogin &honest, Random &random) {
       return cut(greeted(honest), message(PacketType::login7, honest.login7),
                  random.between(0, 7), random);
     }},
    {"LOGIN7 cut in its fixed part",
     [](const HonestLogin &honest, Random &random) {
       return cut(greeted(honest), message(PacketType::login7, honest.login7),
                  random.between(8, 8 + 86), random);
     }},
    {"LOGIN7 cut behind it",
     [](const HonestLogin &honest, Random &random) {
       const auto bytes = message(PacketType::login7, honest.login7);
       return cut(greeted(honest), bytes,
                  random.between(8 + 86, bytes.size() - 1), random);
     }},
    {"LOGIN7 shorter than its fixed part",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(honest, prefix(honest.login7, random.below(86)));
     }},
    {"LOGIN7 Length zero, one, wrapped or huge",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = honest.login7;
       const std::size_t lengths[] = {
           0, 1, login7.size() - 1, login7.size() + 1, 0x80000000, 0xFFFFFFFF};
       put_le32(login7, 0, random.of(lengths));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 of an unknown TDS version",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = honest.login7;
       constexpr std::size_t versions[] = {0,          0x04020000, 0x05000000,
                                           0x06000000, 0x75000000, 0x80000000,
                                           0xFFFFFFFF};
       put_le32(login7, 4, random.of(versions));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 of another TDS version than its layout",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = honest.login7;
       constexpr std::size_t versions[] = {0x70000000, 0x71000001, 0x72090002,
                                           0x74000004};
       put_le32(login7, 4, random.of(versions));
       return logs_in(honest, flipped(login7, random));
     }},
    {"LOGIN7 text past the end",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(honest,
                      with_offset(honest.login7,
                                  honest.login7.size() + random.below(100),
                                  random));
     }},
    {"LOGIN7 text that reaches past the end",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(honest, with_offset(honest.login7,
                                          honest.login7.size() - 1, random));
     }},
    {"LOGIN7 text whose offset wraps",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(honest, with_offset(honest.login7,
                                          0xFFFF - random.below(8), random));
     }},
    {"LOGIN7 text in the fixed part",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(honest,
                      with_offset(honest.login7, random.below(86), random));
     }},
    {"LOGIN7 text longer than MS-TDS allows",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = joined({honest.login7, Bytes(1000, 'x')});
       put_le32(login7, 0, login7.size());
       const auto slot = random.of(text_slots);
       put_le16(login7, slot, honest.login7.size());
       put_le16(login7, slot + 2, random.between(261, 500));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 text length wrapped or huge",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = honest.login7;
       constexpr std::size_t lengths[] = {0x7FFF, 0x8000, 0xFFFF, 0xFFFE};
       put_le16(login7, random.of(text_slots) + 2, random.of(lengths));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 texts that overlap",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = honest.login7;
       for (const auto slot : text_slots)
         if (login7.size() >= 94 + 20 && slot != 82) {
           put_le16(login7, slot, 94 + random.below(4));
           put_le16(login7, slot + 2, random.below(8));
         }
       return logs_in(honest, login7);
     }},
    {"LOGIN7 token past the end",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = honest.login7;
       put_le16(login7, 78, login7.size() - random.below(4));
       put_le16(login7, 80, random.between(8, 0xFFFF));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 long token length",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = with_features(honest, two_features);
       constexpr std::size_t lengths[] = {1, 0xFFFF, 0x10000, 0x7FFFFFFF,
                                          0xFFFFFFFF};
       put_le16(login7, 78, 94);
       put_le16(login7, 80, 0xFFFF);
       put_le32(login7, 90, random.of(lengths));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 extension of another size",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = with_features(honest, two_features);
       constexpr std::size_t sizes[] = {1, 2, 3, 5, 8, 0xFFFF};
       put_le16(login7, 58, random.of(sizes));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 features elsewhere",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = with_features(honest, two_features);
       const std::size_t at = static_cast<std::size_t>(login7[56]) |
                              static_cast<std::size_t>(login7[57]) << 8;
       const std::size_t places[] = {
           0, 1, 93, login7.size(), login7.size() + 1, 0x7FFFFFFF, 0xFFFFFFFF};
       put_le32(login7, at, random.of(places));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 feature length zero, wrapped or huge",
     [](const HonestLogin &honest, Random &random) {
       auto login7 = with_features(honest, two_features);
       constexpr std::size_t lengths[] = {0, 2, 0x7FFFFFFF, 0x80000000,
                                          0xFFFFFFFF};
       put_le32(login7, features_at(login7) + 1, random.of(lengths));
       return logs_in(honest, login7);
     }},
    {"LOGIN7 features without their end",
     [](const HonestLogin &honest, Random &) {
       auto login7 = with_features(honest, two_features);
       login7.back() = 0x77;
       return logs_in(honest, login7);
     }},
    {"LOGIN7 with thousands of features",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(
           honest,
           with_features(honest, std::vector<tds::Feature>(
                                     many_or_very_many(500, 20'000, random),
                                     {tds::FeatureId{0x7E}, {}})));
     }},
    {"LOGIN7 one byte above 128 KiB",
     [](const HonestLogin &honest, Random &) {
       auto login7 = joined({honest.login7, Bytes(tds::largest_login7 + 1 -
                                                  honest.login7.size())});
       put_le32(login7, 0, login7.size());
       return logs_in(honest, login7);
     }},
    {"LOGIN7 without end",
     [](const HonestLogin &honest, Random &) {
       Bytes bytes;
       const auto one =
           packet(PacketType::login7, 0, 0x7FFF, Bytes(0x7FFF - 8));
       for (int i = 0; i < 6; ++i)
         bytes.insert(bytes.end(), one.begin(), one.end());
       return says(greeted(honest), bytes);
     }},
    {"LOGIN7 in hundreds of empty packets",
     [](const HonestLogin &honest, Random &random) {
       Bytes bytes;
       const auto one = packet(PacketType::login7, 0, 8, {});
       for (std::size_t i = random.between(100, 1000); i > 0; --i)
         bytes.insert(bytes.end(), one.begin(), one.end());
       const auto login =
           message(PacketType::login7, flipped(honest.login7, random));
       bytes.insert(bytes.end(), login.begin(), login.end());
       return says(greeted(honest), bytes);
     }},
    {"LOGIN7 that changes its type",
     [](const HonestLogin &honest, Random &random) {
       const std::size_t half = honest.login7.size() / 2;
       return says(greeted(honest),
                   joined({packet(PacketType::login7, 0, 8 + half,
                                  prefix(honest.login7, half)),
                           packet(random.one_in(2) ? PacketType::sspi
                                                   : PacketType::prelogin,
                                  1, 8, {})}));
     }},
    {"LOGIN7 twice",
     [](const HonestLogin &honest, Random &) {
       const auto login = message(PacketType::login7, honest.login7);
       return says(greeted(honest), joined({login, login}));
     }},
    {"early data behind LOGIN7",
     [](const HonestLogin &honest, Random &random) {
       return says(greeted(honest),
                   joined({message(PacketType::login7, honest.login7),
                           message(PacketType::sql_batch,
                                   random.bytes(random.between(1, 100)))}));
     }},
    {"one byte behind LOGIN7",
     [](const HonestLogin &honest, Random &random) {
       return says(greeted(honest),
                   joined({message(PacketType::login7, honest.login7),
                           {random.byte()}}));
     }},
    {"gone while the login is under way",
     [](const HonestLogin &honest, Random &random) {
       auto conversation = logs_in(honest, honest.login7);
       conversation.leave =
           random.one_in(2) ? Leave::half_closes : Leave::resets;
       return conversation;
     }},
    {"bits of LOGIN7 flipped",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(honest, flipped(honest.login7, random));
     }},
    {"bits of everything flipped",
     [](const HonestLogin &honest, Random &random) {
       auto conversation = says(
           {},
           flipped(joined({message(PacketType::prelogin, prelogin_of(honest)),
                           message(PacketType::login7, honest.login7)}),
                   random));
       conversation.leave = Leave::half_closes;
       return conversation;
     }},
    {"pieces of LOGIN7 left out and put in",
     [](const HonestLogin &honest, Random &random) {
       return logs_in(honest, shuffled(honest.login7, random));
     }},
    {"a byte per second",
     [](const HonestLogin &honest, Random &) {
       auto acts = greeted(honest);
       acts.push_back(Drips{message(PacketType::login7, honest.login7),
                            std::chrono::seconds(1)});
       return Conversation{{}, std::move(acts), Leave::waits};
     }},
    {"LOGIN7 in pieces, quickly, and then silence",
     [](const HonestLogin &honest, Random &random) {
       auto acts = greeted(honest);
       const auto login = message(PacketType::login7, honest.login7);
       acts.push_back(Drips{prefix(login, inside(login, random) % 40),
                            std::chrono::milliseconds(1)});
       return Conversation{{},
                           std::move(acts),
                           random.one_in(24) ? Leave::waits
                                             : Leave::half_closes};
     }},
};

// --- The server leg.

struct ServerClass {
  std::string_view name;
  Conversation (*make)(Random &random);
};

std::vector<Act> after_prelogin() {
  return {Awaits{}, Sends{message(PacketType::reply, plain_prelogin())}, Awaits{}};
}

tds::EnvChange change(tds::EnvChangeType type, std::u16string_view text) {
  tds::Writer out;
  out.u8(static_cast<std::uint8_t>(text.size()));
  out.utf16(text);
  out.u8(0);
  return {type, std::move(out).bytes()};
}

const tds::LoginAck acknowledged{1, tds::tds_7_4, u"Microsoft SQL Server", {16, 0, 2, 0x58}};
const tds::ServerMessage informs{.error = false,
                                 .number = 5701,
                                 .state = 2,
                                 .severity = 0,
                                 .text = u"Changed database context to 'master'.",
                                 .server = u"SQL1"};
const tds::ServerMessage refuses{
    .error = true, .number = 18456, .state = 1, .severity = 14, .text = u"Login failed.", .server = u"SQL1"};

/// An honest reply's tokens.
std::vector<tds::Token> honest_reply() {
  return {change(tds::EnvChangeType::database, u"master"), informs, acknowledged,
          change(tds::EnvChangeType::packet_size, u"4096"), tds::Done{}};
}

Bytes reply_payload(const std::vector<tds::Token> &tokens) {
  return tds::encode_tokens(tokens, tds::tds_7_4);
}
Conversation replies(const Bytes &payload) {
  return says(after_prelogin(), message(PacketType::reply, payload));
}
Conversation replies(const std::vector<tds::Token> &tokens) { return replies(reply_payload(tokens)); }

/// The honest reply with one token put at a random place.
Conversation with_token(tds::Token token, Random &random) {
  auto tokens = honest_reply();
  tokens.insert(tokens.begin() + static_cast<std::ptrdiff_t>(random.below(tokens.size() + 1)),
                std::move(token));
  return replies(tokens);
}

/// The bytes of one token that is wrong, before the rest of an honest reply.
Conversation with_bytes(const Bytes &token) {
  return replies(joined({token, reply_payload(honest_reply())}));
}

template <std::size_t Fault> Conversation answer_fault(Random &random) {
  return says({Awaits{}}, message(PacketType::reply, prelogin_faults[Fault].make(plain_prelogin(), random)));
}

constexpr ServerClass server_table[] = {
    {"nothing at all", [](Random &random) { return cut({Awaits{}}, {}, 0, random); }},
    {"gone before PRELOGIN is read",
     [](Random &random) {
       return Conversation{{}, {}, random.one_in(2) ? Leave::resets : Leave::half_closes};
     }},
    {"random bytes", [](Random &random) { return says({Awaits{}}, random.bytes(random.between(1, 5000))); }},
    {"TLS first",
     [](Random &random) {
       return says({Awaits{}}, joined({{0x16, 0x03, 0x03, 0x00, 0x50}, random.bytes(80)}));
     }},
    {"HTTP",
     [](Random &) {
       constexpr std::string_view text = "HTTP/1.1 400 Bad Request\r\n\r\n";
       return says({Awaits{}}, Bytes(text.begin(), text.end()));
     }},
    {"an answer before PRELOGIN",
     [](Random &random) {
       return says({Sends{random.bytes(4)}, Awaits{}}, message(PacketType::reply, plain_prelogin()));
     }},
    {"PRELOGIN answer cut in its header",
     [](Random &random) {
       return cut({Awaits{}}, message(PacketType::reply, plain_prelogin()), random.between(1, 7), random);
     }},
    {"PRELOGIN answer cut in its options",
     [](Random &random) {
       const auto bytes = message(PacketType::reply, plain_prelogin());
       return cut({Awaits{}}, bytes, random.between(8, bytes.size() - 1), random);
     }},
    {"PRELOGIN answer whose header's length is below 8",
     [](Random &random) {
       return says({Awaits{}}, packet(PacketType::reply, 1, random.below(8), plain_prelogin()));
     }},
    {"PRELOGIN answer whose header's length is huge",
     [](Random &random) {
       return says({Awaits{}}, packet(PacketType::reply, 1, random.between(4097, 0xFFFF), plain_prelogin()));
     }},
    {"PRELOGIN answer without end",
     [](Random &) {
       Bytes bytes;
       for (int i = 0; i < 20; ++i)
         bytes = joined({bytes, packet(PacketType::reply, 0, 508, Bytes(500))});
       return says({Awaits{}}, bytes);
     }},
    {"PRELOGIN answer of another type",
     [](Random &random) {
       constexpr PacketType types[] = {PacketType::prelogin, PacketType::login7, PacketType::sql_batch,
                                       PacketType::sspi};
       return says({Awaits{}}, message(random.of(types), plain_prelogin()));
     }},
    {"PRELOGIN answer: empty", answer_fault<0>},
    {"PRELOGIN answer: option offset past the end", answer_fault<1>},
    {"PRELOGIN answer: option offset wrapped", answer_fault<2>},
    {"PRELOGIN answer: option offset into the table", answer_fault<3>},
    {"PRELOGIN answer: option length zero, one or huge", answer_fault<4>},
    {"PRELOGIN answer: option twice", answer_fault<5>},
    {"PRELOGIN answer: table without its end", answer_fault<6>},
    {"PRELOGIN answer: VERSION not first", answer_fault<7>},
    {"PRELOGIN answer: many options that share their bytes", answer_fault<8>},
    {"PRELOGIN answer: ENCRYPTION unknown", answer_fault<9>},
    {"PRELOGIN answer that wants TLS",
     [](Random &random) {
       tds::Prelogin prelogin;
       prelogin.set_version({16, 0, 0, 0});
       prelogin.set_encryption(random.one_in(2) ? tds::Encryption::on : tds::Encryption::req);
       return says({Awaits{}}, message(PacketType::reply, tds::encode_prelogin(prelogin)));
     }},
    {"PRELOGIN answer and login reply at once",
     [](Random &) {
       return says({Awaits{}}, joined({message(PacketType::reply, plain_prelogin()),
                                       message(PacketType::reply, reply_payload(honest_reply()))}));
     }},
    {"PRELOGIN answer and garbage",
     [](Random &random) {
       return says({Awaits{}}, joined({message(PacketType::reply, plain_prelogin()),
                                       random.bytes(random.between(1, 60))}));
     }},
    {"an error where the PRELOGIN answer is due",
     [](Random &random) {
       return says({Awaits{}},
                   message(PacketType::reply,
                           flipped(reply_payload({refuses, tds::Done{.status = tds::done_error}}), random)));
     }},
    {"gone after LOGIN7", [](Random &random) { return cut(after_prelogin(), {}, 0, random); }},
    {"reply cut in its header",
     [](Random &random) {
       return cut(after_prelogin(), message(PacketType::reply, reply_payload(honest_reply())),
                  random.between(1, 7), random);
     }},
    {"reply cut in its tokens",
     [](Random &random) {
       const auto bytes = message(PacketType::reply, reply_payload(honest_reply()));
       return cut(after_prelogin(), bytes, random.between(8, bytes.size() - 1), random);
     }},
    {"reply whose last token is cut",
     [](Random &random) {
       const auto payload = reply_payload(honest_reply());
       return replies(prefix(payload, inside(payload, random)));
     }},
    {"reply of another type",
     [](Random &random) {
       constexpr PacketType types[] = {PacketType::prelogin, PacketType::login7, PacketType::sql_batch,
                                       PacketType::sspi, PacketType::attention};
       return says(after_prelogin(), message(random.of(types), reply_payload(honest_reply())));
     }},
    {"token that has no place in a login reply",
     [](Random &random) {
       constexpr std::uint8_t types[] = {0x00, 0x01, 0x78, 0x81, 0xA5, 0xA9, 0xAC, 0xD1, 0xD3, 0xED - 1};
       return with_bytes(joined({{random.of(types)}, random.bytes(20)}));
     }},
    {"token length zero, one, wrapped or huge",
     [](Random &random) {
       constexpr std::uint8_t types[] = {0xAA, 0xAB, 0xAD, 0xE3, 0xED};
       Bytes token{random.of(types), 0, 0};
       put_le16(token, 1, odd_length(60, random));
       return with_bytes(joined({token, random.bytes(60)}));
     }},
    {"token of four length bytes, huge",
     [](Random &random) {
       constexpr std::size_t lengths[] = {0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFB};
       Bytes token{static_cast<std::uint8_t>(random.one_in(2) ? 0xE4 : 0xEE), 0, 0, 0, 0};
       put_le32(token, 1, random.of(lengths));
       return with_bytes(token);
     }},
    {"FEATUREEXTACK length wrapped",
     [](Random &random) {
       Bytes token{0xAE, random.byte(), 0, 0, 0, 0};
       token[1] &= 0x7F;
       put_le32(token, 2, 0xFFFFFFFF - random.below(16));
       return with_bytes(token);
     }},
    {"FEATUREEXTACK without its end",
     [](Random &) {
       return replies(joined({reply_payload(honest_reply()), {0xAE, 0x0A, 1, 0, 0, 0, 1}}));
     }},
    {"FEATUREEXTACK thousands of times",
     [](Random &random) {
       Bytes many(2 * many_or_very_many(2000, 100'000, random), 0xFF);
       for (std::size_t at = 0; at < many.size(); at += 2)
         many[at] = 0xAE;
       return replies(joined({many, {0x00}}));
     }},
    {"text longer than its ERROR",
     [](Random &random) {
       auto token = reply_payload({refuses});
       put_le16(token, 9, random.one_in(2) ? 0xFFFF : 0x7FFF);
       return with_bytes(token);
     }},
    {"ERROR and INFO hundreds of times",
     [](Random &random) {
       std::vector<tds::Token> tokens(many_or_very_many(300, 10'000, random),
                                      tds::ServerMessage{.error = false, .number = 1, .text = u"x"});
       tokens.push_back(refuses);
       return replies(tokens);
     }},
    {"LOGINACK twice", [](Random &random) { return with_token(acknowledged, random); }},
    {"LOGINACK of an unknown version",
     [](Random &random) {
       auto ack = acknowledged;
       constexpr std::uint32_t versions[] = {0, 0x04020000, 0x75000000, 0xFFFFFFFF};
       ack.version.wire = random.of(versions);
       return replies(std::vector<tds::Token>{ack, tds::Done{}});
     }},
    {"LOGINACK of another version than its tokens",
     [](Random &random) {
       auto ack = acknowledged;
       ack.version = random.one_in(2) ? tds::tds_7_0 : tds::tds_7_1;
       return replies(std::vector<tds::Token>{ack, refuses, tds::Done{}});
     }},
    {"no LOGINACK, no ERROR",
     [](Random &) {
       auto conversation = replies(std::vector<tds::Token>{informs, tds::Done{}});
       conversation.leave = Leave::half_closes;
       return conversation;
     }},
    {"SSPI token that is garbage",
     [](Random &random) {
       return replies(std::vector<tds::Token>{tds::SspiToken{random.bytes(random.between(1, 200))}});
     }},
    {"SSPI token that is empty", [](Random &random) { return with_token(tds::SspiToken{}, random); }},
    {"SSPI token of 65,535 bytes",
     [](Random &random) { return with_token(tds::SspiToken{random.bytes(65535)}, random); }},
    {"SSPI token that says it is Kerberos",
     [](Random &random) {
       return replies(std::vector<tds::Token>{
           tds::SspiToken{joined({{0x60, 0x30, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02,
                                   0x02, static_cast<std::uint8_t>(random.between(1, 3)), 0x00},
                                  random.bytes(35)})}});
     }},
    {"SSPI tokens, two in one message",
     [](Random &random) {
       return replies(
           std::vector<tds::Token>{tds::SspiToken{random.bytes(9)}, tds::SspiToken{random.bytes(9)}});
     }},
    {"ENVCHANGE of an impossible packet size",
     [](Random &random) {
       constexpr std::u16string_view sizes[] = {u"0",     u"1",          u"511",  u"32768",
                                                u"65536", u"4294967296", u"-1",   u"99999999999999999999",
                                                u"",      u"4096x",      u" 4096"};
       return with_token(change(tds::EnvChangeType::packet_size, random.of(sizes)), random);
     }},
    {"ENVCHANGE whose text is longer than it is",
     [](Random &random) {
       return with_token(tds::EnvChange{tds::EnvChangeType::database, {0xFF, 'm', 0}}, random);
     }},
    {"routing that is malformed",
     [](Random &random) {
       Bytes routing{0x09, 0x00, 0x00, 0x99, 0x05, 0x02, 0x00, 's', 0, '2', 0, 0, 0};
       return with_token(tds::EnvChange{tds::EnvChangeType::routing,
                                        random.one_in(2) ? flipped(routing, random)
                                                         : prefix(routing, inside(routing, random))},
                         random);
     }},
    {"routing to a name that is none",
     [](Random &random) {
       tds::Writer value;
       value.u8(0);
       value.u16_le(1433);
       const auto name = random.bytes(2 * random.between(1, 60));
       value.u16_le(static_cast<std::uint16_t>(name.size() / 2));
       value.append(name);
       tds::Writer out;
       out.u16_le(static_cast<std::uint16_t>(value.size()));
       out.append(value.bytes());
       out.u16_le(0);
       return with_token(tds::EnvChange{tds::EnvChangeType::routing, std::move(out).bytes()}, random);
     }},
    {"FEDAUTHINFO that nobody asked for",
     [](Random &random) {
       return with_token(tds::OpaqueToken{0xEE, random.bytes(40)}, random);
     }},
    {"garbage behind the reply",
     [](Random &random) {
       return says(after_prelogin(), joined({message(PacketType::reply, reply_payload(honest_reply())),
                                             random.bytes(random.between(1, 60))}));
     }},
    {"reply twice",
     [](Random &) {
       const auto reply = message(PacketType::reply, reply_payload(honest_reply()));
       return says(after_prelogin(), joined({reply, reply}));
     }},
    {"reply without end",
     [](Random &) {
       Bytes bytes;
       const auto one = packet(PacketType::reply, 0, 0x7FFF, Bytes(0x7FFF - 8));
       for (int i = 0; i < 34; ++i)
         bytes.insert(bytes.end(), one.begin(), one.end());
       return says(after_prelogin(), bytes);
     }},
    {"empty replies by the thousand",
     [](Random &random) {
       Bytes bytes;
       const auto one = packet(PacketType::reply, 1, 8, {});
       for (auto i = many_or_very_many(2000, 140'000, random); i > 0; --i)
         bytes.insert(bytes.end(), one.begin(), one.end());
       auto conversation = says(after_prelogin(), bytes);
       conversation.leave = Leave::half_closes; // fewer than 1 MiB of them only
                                                // wait for the next
       return conversation;
     }},
    {"reply that changes its type",
     [](Random &) {
       const auto payload = reply_payload(honest_reply());
       return says(after_prelogin(), joined({packet(PacketType::reply, 0, 8 + 20, prefix(payload, 20)),
                                             packet(PacketType::login7, 1, 8, {})}));
     }},
    {"bits of the reply flipped",
     [](Random &random) { return replies(flipped(reply_payload(honest_reply()), random)); }},
    {"bits of everything flipped",
     [](Random &random) {
       return says({Awaits{}, Sends{flipped(message(PacketType::reply, plain_prelogin()), random)}, Awaits{}},
                   flipped(message(PacketType::reply, reply_payload(honest_reply())), random));
     }},
    {"pieces of the reply left out and put in",
     [](Random &random) { return replies(shuffled(reply_payload(honest_reply()), random)); }},
    {"a byte per second",
     [](Random &) {
       auto acts = after_prelogin();
       acts.push_back(
           Drips{message(PacketType::reply, reply_payload(honest_reply())), std::chrono::seconds(1)});
       return Conversation{{}, std::move(acts), Leave::waits};
     }},
};

template <class Table> std::vector<std::string_view> names_of(const Table &table) {
  std::vector<std::string_view> names;
  for (const auto &row : table)
    names.push_back(row.name);
  return names;
}

} // namespace

tds::Bytes Random::bytes(std::size_t size) {
  tds::Bytes made(size);
  for (auto &one : made)
    one = byte();
  return made;
}

std::vector<std::string_view> client_classes() { return names_of(client_table); }
std::vector<std::string_view> server_classes() { return names_of(server_table); }

Conversation malformed_client(std::size_t run, const HonestLogin &honest, Random &random) {
  const auto &row = client_table[run % std::size(client_table)];
  auto conversation = row.make(honest, random);
  conversation.kind = row.name;
  return conversation;
}

Conversation malformed_server(std::size_t run, Random &random) {
  const auto &row = server_table[run % std::size(server_table)];
  auto conversation = row.make(random);
  conversation.kind = row.name;
  return conversation;
}

} // namespace test

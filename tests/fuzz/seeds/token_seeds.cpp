#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/token_test.cpp"

using namespace tds::test;

SEEDS(token) {
  // Each in the version of its row, as token_fuzz.cpp numbers them, and all of one version together.
  const auto number = [](tds::Version version) -> std::uint8_t {
    switch (version.generation()) {
    case 70:
      return 1;
    case 71:
      return 2;
    case 72:
      return 3;
    case 73:
      return 4;
    case 80:
      return 5;
    }
    return 0;
  };
  tds::Bytes together{0};
  for (const auto &row : token_rows) {
    fuzz::seed("token", joined({{number(row.version)}, row.bytes}));
    fuzz::seed("rewrite", joined({{0x81}, row.bytes})); // a reply whose partners are mapped
    if (row.version == tds::tds_7_4) together.insert(together.end(), row.bytes.begin(), row.bytes.end());
  }
  fuzz::seed("token", together);
  for (const auto &row : bad_tokens)
    fuzz::seed("token", joined({{number(row.version)}, row.bytes}));
  for (const auto &row : bad_routings)
    fuzz::seed("token",
               joined({{0}, tds::encode_tokens({tds::EnvChange{row.type, row.data}}, tds::tds_7_4)}));
  for (const auto &row : new_texts)
    for (const std::uint8_t choices : {0x80, 0x81})
      fuzz::seed("rewrite", joined({{choices}, tds::encode_tokens({row.change}, tds::tds_7_4)}));
  for (const auto &row : new_texts)
    fuzz::seed("token", joined({{0}, tds::encode_tokens({row.change}, tds::tds_7_4)}));
  for (const auto type : {tds::EnvChangeType::routing, tds::EnvChangeType::enhanced_routing})
    for (const char *data : {"0900 00 9905 0200 73003200 0000", "0d00 00 9905 0200 73003200 0100 6400 0000"})
      fuzz::seed("token", joined({{0}, tds::encode_tokens({tds::EnvChange{type, hex(data)}}, tds::tds_7_4)}));
}

#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/connect_login_test.cpp"

using namespace tds::test;

SEEDS(connect_login) {
  std::vector<ConnectScript> scripts = accepted_scripts();
  for (auto &script : refused_scripts())
    scripts.push_back(std::move(script));
  for (auto &script : connect_tls_scripts())
    scripts.push_back(std::move(script));
  // What a server sends, row by row, to clients of several kinds: connect_login_fuzz.cpp names the bits.
  for (const auto &script : scripts) {
    tds::Bytes rows;
    for (const auto &step : script.steps)
      if (const auto *gets = std::get_if<Gets>(&step)) {
        for (tds::ByteView rest = gets->bytes; !rest.empty();) {
          const auto part = rest.first(std::min<std::size_t>(rest.size(), 0xFFFF));
          rest = rest.subspan(part.size());
          rows.push_back(static_cast<std::uint8_t>(part.size() >> 8));
          rows.push_back(static_cast<std::uint8_t>(part.size()));
          rows.insert(rows.end(), part.begin(), part.end());
        }
      }
    if (rows.size() > 100'000) continue; // one that goes on without end: the fuzzer needs no help with it
    for (const std::uint8_t bits : {0x00, 0x01, 0x02, 0x08, 0x10, 0x20, 0x40, 0x80, 0xC0})
      fuzz::seed("connect_login",
                 joined({{bits, 0x05, bits >= 0x40 ? std::uint8_t{0xFF} : std::uint8_t{0x10}}, rows}));
  }
}

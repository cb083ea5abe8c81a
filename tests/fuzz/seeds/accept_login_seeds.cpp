#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/accept_login_test.cpp"

using namespace tds::test;

SEEDS(accept_login) {
  std::vector<AcceptScript> scripts = accept_scripts();
  for (auto &script : accept_tls_scripts())
    scripts.push_back(std::move(script));
  // What a client sends, whole scripts long, to listeners with each policy:
  // accept_login_fuzz.cpp names the bits.
  for (const auto &script : scripts)
    for (const std::uint8_t choices : {0x04, 0x44, 0x84}) {
      tds::Bytes input{choices};
      for (const auto &step : script.steps)
        if (const auto *gets = std::get_if<Gets>(&step))
          input.insert(input.end(), gets->bytes.begin(), gets->bytes.end());
      fuzz::seed("accept_login", input);
    }
}

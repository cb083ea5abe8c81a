#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/accept_login_test.cpp"

using namespace tds::test;

SEEDS(accept_login) {
  // What a client sends, whole scripts long; the first byte is the piece that the stream is cut into.
  for (const auto &script : accept_scripts()) {
    tds::Bytes input{0x04};
    for (const auto &step : script.steps)
      if (const auto *gets = std::get_if<Gets>(&step))
        input.insert(input.end(), gets->bytes.begin(), gets->bytes.end());
    fuzz::seed("accept_login", input);
  }
}

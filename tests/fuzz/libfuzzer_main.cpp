// The one target that is linked in, under libFuzzer.
#include "tests/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  static const fuzz::Target target = fuzz::targets().at(0);
  if (size <= target.longest) fuzz::run(target, {data, size});
  return 0;
}

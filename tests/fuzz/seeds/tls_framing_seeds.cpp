#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/shim/transport/tls_framing_test.cpp"

namespace shim_test {

SEEDS(tls_framing) {
  for (const auto &row : bad_headers) // behind the byte that says how the stream is cut
    fuzz::seed("tls_framing", Bytes{2} + packet(0x12, 3) + row.bytes);
  fuzz::seed("tls_framing", Bytes{0} + packet(0x12, 40) + packet(0x04, 7, 0));
  fuzz::seed("tls_framing", Bytes{200} + wrap_in_prelogin(Bytes(5000, 0x16)));
}

} // namespace shim_test

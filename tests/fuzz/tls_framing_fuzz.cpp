// PRELOGIN packets around TLS records (shim/transport/tls_framing.hpp).
#include "shim/transport/tls_framing.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

struct Unwrapped {
  std::vector<std::uint8_t> payload;
  bool failed = false;
  std::size_t read = 0;
};

/// As the wire reads: never more than is wanted, in pieces of `piece` bytes at most.
Unwrapped unwrap(fuzz::ByteView stream, std::size_t piece) {
  Unwrapped out;
  shim::PreloginUnwrap unwrap;
  while (!stream.empty()) {
    const auto missing = unwrap.header_missing();
    fuzz::require((missing == 0) != (unwrap.payload_left() == 0), "either a header or a payload is wanted");
    const auto part =
        stream.first(std::min({missing ? missing : unwrap.payload_left(), piece, stream.size()}));
    stream = stream.subspan(part.size());
    out.read += part.size();
    if (missing) {
      // An error as text.
      if (!fuzz::within(1024, [&] { return unwrap.feed_header(part).has_value(); })) {
        out.failed = true;
        return out;
      }
      fuzz::require(unwrap.payload_left() <= 32759, "a packet is bounded");
    } else {
      out.payload.insert(out.payload.end(), part.begin(), part.end());
      unwrap.took_payload(part.size());
    }
  }
  return out;
}

} // namespace

FUZZ_TARGET(tls_framing, 70000) {
  fuzz::Cursor cursor(input);
  const std::size_t piece = 1 + cursor.u8();
  const auto stream = cursor.rest();
  const auto whole = unwrap(stream, stream.size());
  const auto cut = unwrap(stream, piece);
  fuzz::require(whole.payload == cut.payload && whole.failed == cut.failed && whole.read == cut.read,
                "it does not matter how the stream is cut");
  const auto wrapped = shim::wrap_in_prelogin(stream);
  const auto again = unwrap(wrapped, piece);
  fuzz::require(!again.failed && std::ranges::equal(again.payload, stream),
                "what is wrapped comes out again");
}

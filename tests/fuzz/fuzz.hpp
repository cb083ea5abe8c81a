// What every fuzz target shares: bytes taken from the input, a property that must hold, memory
// counted while a decoder runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fuzz {

using ByteView = std::span<const std::uint8_t>;

/// Takes choices and bytes from the front of an input; behind its end everything is zero or empty.
class Cursor {
public:
  explicit Cursor(ByteView bytes) : rest_(bytes) {}
  std::uint8_t u8();
  std::uint16_t u16(); ///< big-endian
  ByteView take(std::size_t most);
  ByteView rest() { return take(rest_.size()); }
  bool empty() const { return rest_.empty(); }

private:
  ByteView rest_;
};

/// Ends the program, and names the target and `property`, where it does not hold:
/// libFuzzer then keeps the input.
void require(bool holds, std::string_view property);

/// Counts what operator new hands out in this thread while it lives; `require`s at each allocation that no
/// more than `most` bytes more are held than at its beginning. One at a time.
class MemoryBound {
public:
  explicit MemoryBound(std::size_t most);
  ~MemoryBound();
  MemoryBound(const MemoryBound &) = delete;
};

/// The value of `work()`, made with at most `most` bytes held at any moment.
template <class Work> auto within(std::size_t most, Work work) {
  const MemoryBound bound(most);
  return work();
}

inline std::string_view text_of(ByteView bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

/// One target. `run` gets any bytes, and comes back.
struct Target {
  std::string_view name;
  std::size_t longest; ///< bytes of an input worth trying
  void (*run)(ByteView input);
};
/// All targets that are linked in.
std::vector<Target> &targets();
/// Runs one input, from a heap block of exactly its size, so that a sanitizer sees each byte read too many.
void run(const Target &target, ByteView input);

struct Registered {
  explicit Registered(Target target) { targets().push_back(target); }
};

} // namespace fuzz

/// FUZZ_TARGET(prelogin, 4096) { … input … }: its file is prelogin_fuzz.cpp, its line in targets.txt names
/// the sources that it covers.
#define FUZZ_TARGET(NAME, LONGEST)                                                                           \
  static void NAME##_run(fuzz::ByteView input);                                                              \
  static const fuzz::Registered NAME##_registered{{#NAME, LONGEST, NAME##_run}};                             \
  static void NAME##_run(fuzz::ByteView input)

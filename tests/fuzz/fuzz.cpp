#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <malloc.h>
#include <memory>
#include <new>

namespace fuzz {

namespace {

// Of this thread: libFuzzer has others of its own.
thread_local bool counting = false;
thread_local std::ptrdiff_t held = 0; // since counting began
thread_local std::ptrdiff_t bound = 0;
thread_local const char *running = "";

// Before memory is taken: a bound is there so that it is not.
void judge(std::size_t more) {
  if (!counting || held + static_cast<std::ptrdiff_t>(std::min<std::size_t>(more, PTRDIFF_MAX / 2)) <= bound)
    return;
  counting = false;
  std::fprintf(stderr, "%s: %zu bytes more than the %td that it holds, and %td are its bound\n", running,
               more, held, bound);
  std::abort();
}

} // namespace

std::uint8_t Cursor::u8() {
  const auto byte = take(1);
  return byte.empty() ? std::uint8_t{0} : byte[0];
}

std::uint16_t Cursor::u16() {
  const unsigned high = u8();
  return static_cast<std::uint16_t>(high << 8 | u8());
}

ByteView Cursor::take(std::size_t most) {
  const auto taken = rest_.first(std::min(most, rest_.size()));
  rest_ = rest_.subspan(taken.size());
  return taken;
}

void require(bool holds, std::string_view property) {
  if (holds) return;
  counting = false;
  std::fprintf(stderr, "%s: does not hold: %.*s\n", running, static_cast<int>(property.size()),
               property.data());
  std::abort();
}

MemoryBound::MemoryBound(std::size_t most) {
  require(!counting, "one MemoryBound at a time");
  held = 0;
  bound = static_cast<std::ptrdiff_t>(most);
  counting = true;
}

MemoryBound::~MemoryBound() { counting = false; }

std::vector<Target> &targets() {
  static std::vector<Target> all;
  return all;
}

void run(const Target &target, ByteView input) {
  running = target.name.data(); // a literal
  const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[input.size()]);
  std::ranges::copy(input, exact.get());
  target.run({exact.get(), input.size()});
}

void *allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  judge(size);
  void *memory = alignment <= alignof(std::max_align_t)
                     ? std::malloc(size)
                     : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (!memory) throw std::bad_alloc();
  if (counting) held += static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  return memory;
}

void release(void *memory) {
  if (counting && memory) held -= static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  std::free(memory);
}

} // namespace fuzz

// The nothrow forms too: under ASan they would be the sanitizer's, and their memory then not be ours to free.
void *operator new(std::size_t size) { return fuzz::allocate(size); }
void *operator new[](std::size_t size) { return fuzz::allocate(size); }
void *operator new(std::size_t size, std::align_val_t alignment) {
  return fuzz::allocate(size, static_cast<std::size_t>(alignment));
}
void *operator new[](std::size_t size, std::align_val_t alignment) {
  return fuzz::allocate(size, static_cast<std::size_t>(alignment));
}
void *operator new(std::size_t size, const std::nothrow_t &) noexcept {
  try {
    return fuzz::allocate(size);
  } catch (const std::bad_alloc &) {
    return nullptr;
  }
}
void *operator new[](std::size_t size, const std::nothrow_t &nothrow) noexcept {
  return operator new(size, nothrow);
}
void operator delete(void *memory, const std::nothrow_t &) noexcept { fuzz::release(memory); }
void operator delete[](void *memory, const std::nothrow_t &) noexcept { fuzz::release(memory); }
void operator delete(void *memory) noexcept { fuzz::release(memory); }
void operator delete[](void *memory) noexcept { fuzz::release(memory); }
void operator delete(void *memory, std::size_t) noexcept { fuzz::release(memory); }
void operator delete[](void *memory, std::size_t) noexcept { fuzz::release(memory); }
void operator delete(void *memory, std::align_val_t) noexcept { fuzz::release(memory); }
void operator delete[](void *memory, std::align_val_t) noexcept { fuzz::release(memory); }
void operator delete(void *memory, std::size_t, std::align_val_t) noexcept { fuzz::release(memory); }
void operator delete[](void *memory, std::size_t, std::align_val_t) noexcept { fuzz::release(memory); }

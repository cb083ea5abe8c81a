// Texts and numbers, from bytes and back (tds/bytes.hpp).
#include "tds/bytes.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

FUZZ_TARGET(text, 8192) {
  tds::Reader reader(input, "text");
  const auto units = fuzz::within(256 + input.size(), [&] { return reader.utf16(input.size() / 2, "text"); });
  fuzz::require(units && units->size() == input.size() / 2, "every unit is read");
  fuzz::require(!reader.utf16(1, "text"), "half a unit is none");
  tds::Writer out;
  out.utf16(*units);
  fuzz::require(std::ranges::equal(out.bytes(), input.first(2 * units->size())),
                "units are written as they were read");

  // To people's text and back: equal from the second time on, and at once where the text was valid.
  const auto people = fuzz::within(256 + 6 * units->size(), [&] { return tds::to_utf8(*units); });
  const auto back = tds::to_utf16(people);
  fuzz::require(back.size() == units->size(), "an unpaired surrogate is replaced by one unit");
  fuzz::require(tds::to_utf8(back) == people, "valid text stays as it is");
  const auto raw = fuzz::within(256 + 8 * input.size(), [&] { return tds::to_utf16(fuzz::text_of(input)); });
  fuzz::require(tds::to_utf16(tds::to_utf8(raw)) == raw, "what comes from UTF-8 is valid UTF-16");

  tds::Reader numbers(input, "numbers");
  tds::Fields in(numbers);
  tds::Writer same;
  same.u8(in.u8("u8"));
  same.u16_le(in.u16_le("u16_le"));
  same.u16_be(in.u16_be("u16_be"));
  same.u32_le(in.u32_le("u32_le"));
  same.u32_be(in.u32_be("u32_be"));
  same.u64_le(in.u64_le("u64_le"));
  same.append(in.take(3, "bytes"));
  same.utf16(in.utf16(in.u8("length"), "text"));
  in.expect_end();
  fuzz::require(in.ok() == in.finish(0).has_value(), "the first failure sticks");
  if (!in.ok()) {
    fuzz::require(!in.finish(0).error().text().empty(), "a failure says what failed");
    return;
  }
  tds::Bytes wire = std::move(same).bytes();
  wire.insert(wire.begin() + 24, input[24]); // the text's length
  fuzz::require(std::ranges::equal(wire, input), "numbers are written as they were read");
}

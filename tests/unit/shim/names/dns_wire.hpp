// DNS messages by hand (RFC 1035 4.1), for tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace shim_test {

using Wire = std::vector<unsigned char>;

constexpr int wire_a = 1, wire_cname = 5, wire_ptr = 12, wire_txt = 16, wire_aaaa = 28, wire_srv = 33;

inline Wire join(std::initializer_list<Wire> parts) {
  Wire all;
  for (const auto &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}
inline Wire be16(unsigned value) {
  return {static_cast<unsigned char>(value >> 8), static_cast<unsigned char>(value)};
}
inline Wire be32(std::uint32_t value) { return join({be16(value >> 16), be16(value & 0xffff)}); }

inline Wire labels(std::string_view name) {
  Wire out;
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    out.push_back(static_cast<unsigned char>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  out.push_back(0);
  return out;
}
/// A compression pointer (RFC 1035 4.1.4).
inline Wire pointer(unsigned offset) { return be16(0xc000 | offset); }

inline Wire record(const Wire &owner, int type, std::uint32_t ttl, const Wire &data) {
  return join({owner, be16(static_cast<unsigned>(type)), be16(1), be32(ttl),
               be16(static_cast<unsigned>(data.size())), data});
}
inline Wire a(std::string_view owner, std::uint32_t ttl, const Wire &address) {
  return record(labels(owner), wire_a, ttl, address);
}
inline Wire cname(std::string_view owner, std::uint32_t ttl, std::string_view to) {
  return record(labels(owner), wire_cname, ttl, labels(to));
}

constexpr unsigned first_name = 12; ///< offset of the question's name

inline Wire reply_to(const Wire &question, unsigned id, unsigned flags, const std::vector<Wire> &answers) {
  auto message = join({be16(id), be16(0x8180 | flags), be16(1), be16(static_cast<unsigned>(answers.size())),
                       be16(0), be16(0), question});
  for (const auto &answer : answers)
    message.insert(message.end(), answer.begin(), answer.end());
  return message;
}
inline Wire message(std::string_view name, int type, const std::vector<Wire> &answers) {
  return reply_to(join({labels(name), be16(static_cast<unsigned>(type)), be16(1)}), 7, 0, answers);
}

} // namespace shim_test

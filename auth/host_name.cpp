#include "auth/host_name.hpp"

#include <arpa/inet.h>

namespace auth {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char &c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char &c : result)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return result;
}

std::string name_fault(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) return "the host name is empty";
  if (name.size() > 253) return "the host name is longer than 253 characters";
  std::size_t label = 0;
  for (const char c : name) {
    const bool letter =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (c == '.') {
      if (label == 0) return "the host name has an empty label (two dots in a row, or one in front)";
      label = 0;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return "the host name is not ASCII: write its DNS form, xn--…";
    } else if (!letter) {
      return "the host name holds a character that no host name has: only letters, digits, '-', '_' and '.' are";
    } else if (++label > 63) {
      return "a label of the host name is longer than 63 characters";
    }
  }
  if (label == 0) return "the host name has an empty label (two dots at the end)";
  return {};
}

std::string normal_address(std::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return {};
  unsigned char bytes[sizeof(in6_addr)];
  char spelled[INET6_ADDRSTRLEN];
  for (const int family : {AF_INET, AF_INET6})
    if (inet_pton(family, copy.c_str(), bytes) == 1) return inet_ntop(family, bytes, spelled, sizeof spelled);
  return {};
}

bool is_below(std::string_view name, std::string_view domain) {
  const std::string low = lower(name), end = lower(domain);
  return !end.empty() && (low == end || low.ends_with("." + end));
}

} // namespace auth

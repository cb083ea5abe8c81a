#include "config/resolv_conf.hpp"

#include "config/value.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace config {

Dns parse_resolv_conf(std::string_view text) {
  constexpr int most_dots = 15;
  constexpr std::uint16_t dns_port = 53;
  Dns dns;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find_first_of("#;")));
    std::string keyword, word;
    words >> keyword;
    if (keyword == "nameserver" && words >> word) {
      if (const auto address = parse_address(word, dns_port); address && address->port == dns_port)
        dns.servers.push_back(*address);
    } else if (keyword == "search" || keyword == "domain") {
      dns.search.clear();
      while (words >> word) {
        while (word.ends_with('.'))
          word.pop_back();
        if (!word.empty()) dns.search.push_back(word);
      }
    } else if (keyword == "options") {
      while (words >> word) {
        constexpr std::string_view option = "ndots:";
        int dots = 0;
        if (word.starts_with(option) &&
            std::from_chars(word.data() + option.size(), word.data() + word.size(), dots).ec == std::errc{})
          dns.ndots = std::clamp(dots, 0, most_dots);
      }
    }
  }
  if (dns.servers.empty()) dns.servers.push_back({"127.0.0.1", dns_port});
  return dns;
}

Dns load_resolv_conf(const std::filesystem::path &file) {
  std::ifstream in(file);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  return parse_resolv_conf(text.str());
}

void follow(Dns &dns, const Dns &resolv_conf) {
  if (dns.from_resolv_conf.servers) dns.servers = resolv_conf.servers;
  if (dns.from_resolv_conf.search) dns.search = resolv_conf.search;
  if (dns.from_resolv_conf.ndots) dns.ndots = resolv_conf.ndots;
}

} // namespace config

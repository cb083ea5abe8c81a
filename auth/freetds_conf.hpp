// freetds.conf, as FreeTDS 1.3 reads it: the names under which an administrator may have given servers to
// applications already. Pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace auth {

/// What decides where FreeTDS looks for its files.
struct FreetdsPlaces {
  std::string freetdsconf; ///< of the environment; empty: not set
  std::string freetds;     ///< of the environment: a folder
  std::string home;        ///< of the passwd entry: FreeTDS does not look at $HOME
};
/// $FREETDSCONF, $FREETDS/etc/freetds.conf, ~/.freetds.conf, /etc/freetds/freetds.conf: those that
/// there are, in this order.
std::vector<std::filesystem::path> freetds_conf_files(const FreetdsPlaces &places);

/// What the section of a server, over [global], says.
struct FreetdsServer {
  std::string host;       ///< empty: no section says it
  std::uint16_t port = 0; ///< 0: none
  std::string instance;   ///< counts only where there is no port
  std::string tds_version;
  std::string server_spn, realm;
  std::size_t file = 0; ///< which of the files has the section
  bool operator==(const FreetdsServer &) const = default;

  /// As one would type it: "db1.corp.test,1500", "db1.corp.test\\INST".
  std::string target() const;
};

/// The server that FreeTDS finds under `name`, where `texts` are the contents of its files in their
/// order. The first file with a section of that name (ASCII case ignored) ends the search; [global] of
/// each file read until then counts, also where the section is in a later one; of equal sections and
/// keys the last wins. nullopt: no file has the section, or `name` is empty or "global". Any text will
/// do; a port that is none is 0.
std::optional<FreetdsServer> find_freetds_server(std::span<const std::string> texts, std::string_view name);

} // namespace auth

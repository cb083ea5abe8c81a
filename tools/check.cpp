#include "config/load.hpp"
#include "config/show.hpp"
#include "shim/log/render.hpp"
#include "tools/commands.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <ostream>
#include <ranges>
#include <unistd.h>

namespace commands {

namespace {

std::string count(std::size_t number, std::string_view singular, std::string_view plural) {
  return fmt::format("{} {}", number, number == 1 ? singular : plural);
}

/// How applications come to trust the certificate of `listener`, one line a driver. (Those that take none by
/// file use the system's authorities.)
std::string how_to_trust(const config::Listener &listener, const std::filesystem::path &state) {
  const bool made = listener.certificate.empty();
  const std::string file = (made ? state / "listener.pem" : listener.certificate).string();
  const std::string own = made ? "made by \"sqlshim serve\"" : "or the file of its authority";
  const std::string store = "listener-" + listener.name;
  std::string text = fmt::format("listener {}: tls = \"{}\". To trust its certificate {} ({}):\n",
                                 listener.name, config::to_string(listener.tls), file, own);
  const auto line = [&text](std::string_view driver, const std::string &what) {
    text += fmt::format("  {:<16}{}\n", driver, what);
  };
  line("FreeTDS", fmt::format("in freetds.conf: encryption = require, ca file = {}", file));
  line("mssql-jdbc",
       fmt::format("keytool -importcert -noprompt -alias {0} -file {1} -keystore {0}.p12 -storetype PKCS12 "
                   "-storepass changeit",
                   store, file));
  line("", fmt::format("then encrypt=true;trustStore={}.p12;trustStorePassword=changeit", store));
  line("tedious",
       fmt::format("encrypt: true, cryptoCredentialsDetails: {{ ca: fs.readFileSync('{}') }}", file));
  line("ODBC Driver 18",
       fmt::format("cp {} /usr/local/share/ca-certificates/{}.crt && update-ca-certificates", file, store));
  line("", fmt::format("then Encrypt=yes; or without the copy Encrypt=strict;ServerCertificate={}", file));
  line("SqlClient",
       fmt::format("Encrypt=True;ServerCertificate={} (5.1 and later; before, as for ODBC)", file));
  line("go-mssqldb", fmt::format("encrypt=true&certificate={}", file));
  line("pytds", fmt::format("cafile='{}'", file));
  line("jTDS", "ssl=require (encrypts, and checks no certificate)");
  return text;
}

/// "localhost" is two addresses. Where a listener has one, anybody may take its port at the
/// other, and drivers try both.
std::string free_twin(const config::Listener &listener, const std::vector<config::Listener> &all) {
  if (!listener.address || listener.twin || listener.address->port == 0) return "";
  const bool v4 = listener.address->ip == "127.0.0.1";
  if (!v4 && listener.address->ip != "::1") return "";
  const config::Address twin{v4 ? "::1" : "127.0.0.1", listener.address->port};
  if (std::ranges::any_of(all, [&](const auto &other) { return other.address == twin; })) return "";
  return fmt::format(
      "listener {}: warning: any user may listen on {} and get what applications send to localhost; "
      "write address = \"localhost:{}\"",
      listener.name, twin.text(), twin.port);
}

} // namespace

int check(std::ostream &out, const std::filesystem::path &config, bool show) {
  const config::Loaded loaded = config::load(config);
  const bool comments = show && loaded.ok();
  for (const config::Problem &problem : loaded.problems) // what is wrong may be quoted from the file
    out << (comments ? "# " : "") << shim::printable(problem.text(), 4096) << '\n';
  if (!loaded.ok()) return 2;
  out << fmt::format("{}{}: ok, {}, {}, {}\n", comments ? "# " : "", shim::printable(config.string(), 4096),
                     count(loaded.config.listeners.size(), "listener", "listeners"),
                     count(loaded.config.identities.size(), "identity", "identities"),
                     count(loaded.config.routes.size(), "route", "routes"));
  for (const config::Identity &identity : loaded.config.identities)
    if (!identity.account.empty())
      out << (comments ? "# " : "")
          << shim::printable(fmt::format("identity {}: {} is {}, by [domains]", identity.name,
                                         identity.account, identity.principal),
                             4096)
          << '\n';
  for (const config::Listener &listener : loaded.config.listeners) {
    if (const auto warning = free_twin(listener, loaded.config.listeners); !warning.empty())
      out << (comments ? "# " : "") << shim::printable(warning, 4096) << '\n';
    if (listener.tls == config::ListenerTls::off) continue;
    for (const auto &line : std::views::split(how_to_trust(listener, loaded.config.state.directory), '\n'))
      if (!line.empty())
        out << (comments ? "# " : "") << shim::printable(std::string_view(line), 4096) << '\n';
  }
  if (show) out << '\n' << config::show(loaded.config, ::getuid());
  return 0;
}

} // namespace commands

#include "tests/interop/driver.hpp"

#include <algorithm>
#include <cctype>

namespace interop {
namespace {

const lab::fs::path sources = SQLSHIM_SOURCE_DIR "/tests/interop";
const lab::fs::path installed = SQLSHIM_SOURCE_DIR "/build/interop"; // what install.sh brought

std::string jar_of(const Driver &driver) {
  if (driver.name.starts_with("jTDS")) return "/usr/share/java/jtds.jar";
  return installed / (driver.name + ".jar");
}

bool in_path(const std::string &program) {
  for (const auto *folder : {"/usr/bin", "/usr/local/bin", "/bin"})
    if (lab::fs::exists(lab::fs::path(folder) / program)) return true;
  return false;
}

} // namespace

std::string_view to_string(Auth auth) {
  return auth == Auth::sql ? "sql" : auth == Auth::kerberos ? "kerberos" : "ntlm";
}

std::string Driver::slug() const { return app() + "-" + std::string(to_string(auth)); }

std::string Driver::app() const {
  std::string text = name + "-" + mode;
  std::ranges::replace_if(
      text, [](unsigned char letter) { return !std::isalnum(letter) && letter != '.'; }, '-');
  return text;
}

Auth Driver::direct_auth() const { return auth == Auth::ntlm || name.starts_with("jTDS") ? Auth::sql : auth; }

const std::vector<std::string> &step_names() {
  static const std::vector<std::string> names = {"connect",  "results",      "types",           "parameters",
                                                 "prepared", "transaction",  "rollback",        "error",
                                                 "warning",  "large-result", "large-parameter", "bulk-copy",
                                                 "cancel",   "pool-reset",   "fifty",           "disconnect"};
  return names;
}

std::vector<std::string> Driver::command() const {
  const auto source = [](const char *file) { return (sources / "drivers" / file).string(); };
  if (program == "java")
    return {"java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx768m",
            // Without its second compiler Java ciphers 5 MB of AES a second, and 170 MB of this.
            "-Djdk.tls.client.cipherSuites=TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,"
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,TLS_CHACHA20_POLY1305_SHA256",
            "-cp", jar_of(*this) + ":" + (lab::program_folder() / "interop-classes").string(), "Programme"};
  if (program == "node") return {"node", source("programme.js")};
  if (program == "python3") return {"/usr/bin/python3", source("programme.py")};
  if (program == "dblib") return {(lab::program_folder() / "dblib_programme").string()};
  return {"bash", source("programme.sh")};
}

const std::vector<Driver> &drivers() {
  static const std::vector<Driver> rows = [] {
    std::vector<Driver> all;
    const auto add = [&](const char *name, std::initializer_list<const char *> modes, const char *program,
                         std::initializer_list<Auth> integrated = {}) {
      for (const auto *mode : modes)
        all.push_back({name, mode, Auth::sql, program, std::string_view(mode).contains("strict")});
      for (const auto auth : integrated) // in the last mode that is not strict: the driver's usual one
        all.push_back({name, *(modes.begin() + 1), auth, program});
    };
    using enum Auth;
    add("mssql-jdbc 12.6.1", {"encrypt=false", "encrypt=true", "encrypt=strict"}, "java", {kerberos, ntlm});
    add("mssql-jdbc 7.4.1", {"encrypt=false", "encrypt=true"}, "java", {kerberos, ntlm});
    add("jTDS 1.3.1", {"jtds", "jtds;ssl=require"}, "java", {kerberos, ntlm});
    add("tedious 19.2.2", {"encrypt=false", "encrypt=true", "encrypt=strict"}, "node", {ntlm});
    add("pyodbc 4.0.34", {"7.4 off", "7.4 require", "7.4 require MARS"}, "python3", {kerberos, ntlm});
    add("db-lib 1.3.17", {"7.4 off", "7.4 require", "7.1 off"}, "dblib", {kerberos, ntlm});
    add("isql 2.3.11", {"isql 7.4 off", "isql 7.4 require", "isql 7.4 require MARS"}, "bash",
        {kerberos, ntlm});
    add("tsql 1.3.17",
        {"tsql 7.4 off", "tsql 7.4 require", "tsql 7.4 request", "tsql 7.3 off", "tsql 7.2 off",
         "tsql 7.1 off", "tsql 7.0 off"},
        "bash", {kerberos, ntlm});
    return all;
  }();
  return rows;
}

std::string missing(const Driver &driver) {
  const auto command = driver.command();
  std::vector<lab::fs::path> needed;
  if (driver.program == "java")
    needed = {jar_of(driver), lab::program_folder() / "interop-classes" / "Programme.class"};
  if (driver.program == "node") needed = {installed / "node_modules/tedious"};
  if (driver.program == "python3")
    needed = {"/usr/share/doc/python3-pyodbc", "/usr/share/doc/tdsodbc"}; // packages
  if (driver.program == "dblib") needed = {command[0]};
  if (driver.program == "bash" && driver.mode.starts_with("isql"))
    needed = {"/usr/bin/isql", "/usr/share/doc/tdsodbc"};
  if (driver.program == "bash" && driver.mode.starts_with("tsql")) needed = {"/usr/bin/tsql"};
  if (!in_path(command[0])) return command[0];
  for (const auto &path : needed)
    if (!lab::fs::exists(path)) return path;
  return {};
}

} // namespace interop

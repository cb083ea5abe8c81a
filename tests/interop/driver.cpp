#include "tests/interop/driver.hpp"

#include <algorithm>
#include <cctype>

namespace interop {
namespace {

const lab::fs::path sources = INTEROP_SOURCES;     // tests/interop
const lab::fs::path installed = INTEROP_INSTALLED; // build/interop: what install.sh brought

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

std::string Driver::slug() const {
  std::string text = name + "-" + mode + "-" + std::string(to_string(auth));
  std::ranges::replace_if(
      text, [](unsigned char letter) { return !std::isalnum(letter) && letter != '.'; }, '-');
  return text;
}

const std::vector<std::string> &step_names() {
  static const std::vector<std::string> names = {
      "connect", "results",      "types",           "parameters", "prepared",   "transaction", "rollback",  "error",
      "warning", "large-result", "large-parameter", "cancel",     "pool-reset", "fifty",       "disconnect"};
  return names;
}

std::vector<std::string> Driver::command() const {
  const auto source = [](const char *file) { return (sources / "drivers" / file).string(); };
  if (program == "java")
    return {"java",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xmx768m",
            "-cp",
            jar_of(*this) + ":" + (lab::program_folder() / "interop-classes").string(),
            "Programme"};
  if (program == "node") return {"node", source("programme.js")};
  if (program == "python3") return {"/usr/bin/python3", source("programme.py")};
  if (program == "dblib") return {(lab::program_folder() / "dblib_programme").string()};
  return {"bash", source("programme.sh")};
}

const std::vector<Driver> &drivers() {
  static const std::vector<Driver> rows = [] {
    std::vector<Driver> all;
    for (const auto *version : {"7.0", "7.1", "7.2", "7.3", "7.4"})
      all.push_back({"tsql", std::string("tsql ") + version + " off", Auth::sql, "bash"});
    all.push_back({"tsql", "tsql 7.4 request", Auth::sql, "bash"});
    all.push_back({"tsql", "tsql 7.4 require", Auth::sql, "bash"});
    for (const auto *encrypt : {"encrypt=false", "encrypt=true"})
      all.push_back({"mssql-jdbc 12.6.1", encrypt, Auth::sql, "java"});
    all.push_back({"mssql-jdbc 12.6.1", "encrypt=strict", Auth::sql, "java", true});
    return all;
  }();
  return rows;
}

std::string missing(const Driver &driver) {
  const auto command = driver.command();
  if (!in_path(command[0]) && !lab::fs::exists(command[0])) return command[0];
  if (driver.program == "java" && !lab::fs::exists(jar_of(driver))) return jar_of(driver);
  if (driver.program == "bash" && !in_path(driver.mode.substr(0, 4))) return driver.mode.substr(0, 4);
  if (driver.program == "node" && !lab::fs::exists(installed / "node_modules/tedious"))
    return installed / "node_modules/tedious";
  return {};
}

} // namespace interop

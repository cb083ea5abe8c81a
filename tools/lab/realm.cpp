#include "tools/lab/realm.hpp"

#include <fmt/format.h>
#include <sstream>

namespace lab {
namespace {

constexpr auto faketime_library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

constexpr auto krb5_conf_template = R"([libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  forwardable = true
  # TCP first: the lab's firewall-free loopback needs no UDP, and sqlshim uses TCP only.
  udp_preference_limit = 1
{libdefaults}
[realms]
  {realm} = {{
{kdcs}  }}

[domain_realm]
  .{domain} = {realm_of_domain}
  {domain} = {realm_of_domain}
)";

// MIT's own backlog is 5: a burst of logins on a busy machine then waits for seconds
// until the kernel sends again.
constexpr auto kdc_conf_template = R"([kdcdefaults]
  kdc_listen = {kdc}:{port}
  kdc_tcp_listen = {tcp}
  kdc_tcp_listen_backlog = 256

[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/kadm5.acl
    max_life = {max_life}
    max_renewable_life = 7d
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    default_principal_flags = +renewable,+forwardable
  }}

[logging]
  kdc = FILE:{folder}/kdc.log
  default = FILE:{folder}/kdc.log
)";

/// kadmin.local reading its standard input ends with status 0 whatever happened: com_err's "COMMAND:
/// reason while doing" tells.
bool reports_failure(const std::string &output) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(": ");
    if (colon == line.npos || line.starts_with("No policy")) continue;
    const auto command = std::string_view(line).substr(0, colon);
    const bool plain = command.find_first_not_of("abcdefghijklmnopqrstuvwxyz_.") == command.npos;
    if (plain &&
        (line.contains(" while ") || line.contains("Unknown request") || line.contains("does not exist")))
      return true;
  }
  return output.contains("usage: ");
}

} // namespace

Realm::Realm(fs::path folder, const Block &block, RealmOptions options)
    : folder_(std::move(folder)), options_(std::move(options)),
      kdc_address_(options_.kdc_address.empty() ? block.kdc() : options_.kdc_address) {
  fs::create_directories(folder_);
  write_configuration();
  const auto created =
      run({.argv = {"kdb5_util", "create", "-s", "-P", "master of the lab", "-r", options_.name},
           .environment = environment()});
  if (created.status != 0) throw LabError("kdb5_util create: " + created.output);
  // sqlshim/admin: kadmin.local needs the name of somebody, and a uid without passwd
  // entry has none of its own.
  kadmin("addprinc -pw alicepw alice\n"
         "addprinc -pw bobpw bob\n"
         "addprinc -randkey sqlshim/admin\n");
  start_kdc();
}

Environment Realm::environment() const {
  return {{"KRB5_CONFIG", krb5_conf().string()}, {"KRB5_KDC_PROFILE", (folder_ / "kdc.conf").string()}};
}

std::string Realm::kadmin(const std::string &commands) {
  const auto done = run(
      {.argv = {"kadmin.local", "-r", options_.name, "-p", "sqlshim/admin"}, .environment = environment()},
      commands.ends_with('\n') ? commands : commands + "\n");
  if (done.status != 0 || reports_failure(done.output))
    throw LabError(fmt::format("kadmin.local failed\n{}\n{}", commands, done.output));
  return done.output;
}

void Realm::add_principal(const std::string &principal, const std::string &password,
                          const std::string &flags) {
  kadmin(
      fmt::format("addprinc {} {} {}", flags, password.empty() ? "-randkey" : "-pw " + password, principal));
}

void Realm::remove(const std::string &principal) { kadmin("delprinc -force " + principal); }

void Realm::ktadd(const fs::path &keytab, const std::string &principal) {
  kadmin(fmt::format("ktadd -norandkey -k {} {}", keytab.string(), principal));
  fs::permissions(keytab, fs::perms::owner_read | fs::perms::owner_write);
}

void Realm::change_key(const std::string &principal) { kadmin("cpw -randkey " + principal); }

void Realm::kinit(const std::string &principal, const std::string &password, const fs::path &ccache,
                  const std::string &clock) {
  const auto done =
      run({.argv = {"kinit", "-c", "FILE:" + ccache.string(), principal}, .environment = with_clock(clock)},
          password + "\n");
  if (done.status != 0) throw LabError(fmt::format("kinit {}: {}", principal, done.output));
}

void Realm::start_kdc() {
  if (kdc_ && kdc_->running()) return;
  const auto written = fs::exists(folder_ / "kdc.log") ? fs::file_size(folder_ / "kdc.log") : 0;
  kdc_.emplace(Command{.argv = {"krb5kdc", "-n", "-r", options_.name},
                       .environment = with_clock(options_.kdc_clock),
                       .output = folder_ / "kdc.out"});
  if (options_.kdc_tcp) return kdc_->wait_for_port(kdc_address_, options_.kdc_port);
  const auto ready = [&] {
    const auto text = log();
    return text.size() > written && text.find("commencing operation", written) != text.npos;
  };
  if (!eventually(ready)) throw LabError("krb5kdc does not come up:\n" + log());
}

void Realm::stop_kdc() {
  if (kdc_) kdc_->stop();
}

void Realm::set_kdc_clock(std::string clock) {
  options_.kdc_clock = std::move(clock);
  stop_kdc();
  start_kdc();
}

void Realm::write_configuration() const {
  using namespace fmt::literals;
  const auto address = kdc_address_.contains(':') ? "[" + kdc_address_ + "]" : kdc_address_;
  const auto place = fmt::format("{}:{}", address, options_.kdc_port);
  std::string kdcs;
  for (const auto &kdc : options_.kdcs.value_or(std::vector{place}))
    kdcs += fmt::format("    kdc = {}\n", kdc);
  write_file(krb5_conf(),
             fmt::format(fmt::runtime(krb5_conf_template), "realm"_a = options_.name, "kdcs"_a = kdcs,
                         "domain"_a = options_.domain, "libdefaults"_a = options_.libdefaults,
                         "realm_of_domain"_a =
                             options_.realm_of_domain.empty() ? options_.name : options_.realm_of_domain));
  write_file(folder_ / "kdc.conf",
             fmt::format(fmt::runtime(kdc_conf_template), "realm"_a = options_.name, "kdc"_a = address,
                         "port"_a = options_.kdc_port, "folder"_a = folder_.string(),
                         "tcp"_a = options_.kdc_tcp ? place : "\"\"", "max_life"_a = options_.max_life));
  write_file(folder_ / "kadm5.acl", "");
}

Environment Realm::with_clock(const std::string &clock) const {
  auto result = environment();
  if (clock.empty()) return result;
  if (!fs::exists(faketime_library))
    throw LabError("another clock needs libfaketime: apt-get install faketime");
  result["LD_PRELOAD"] = faketime_library;
  result["FAKETIME"] = clock;
  return result;
}

} // namespace lab

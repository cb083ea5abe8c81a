#include "tools/lab/smb.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

namespace lab {
namespace {

constexpr auto names_wrapper = "libnss_wrapper.so";
constexpr auto ids_wrapper = "libuid_wrapper.so";

constexpr auto smb_conf_template = R"([global]
  server role = standalone server
  workgroup = {workgroup}
  netbios name = {server}
  realm = {realm}
  interfaces = {address}/8
  bind interfaces only = yes
  smb ports = {port}
  disable netbios = yes

  server min protocol = {lowest}
  server max protocol = {highest}
  server signing = {signing}
  server smb encrypt = {encryption}
{algorithms}{kerberos}
{guests}

  passdb backend = tdbsam:{folder}/private/passdb.tdb
  private dir = {folder}/private
  state directory = {folder}/state
  lock directory = {folder}/lock
  cache directory = {folder}/cache
  pid directory = {folder}/run
  ncalrpc dir = {folder}/ncalrpc

  log file = {folder}/smbd.log
  max log size = 0
  debug pid = yes
  # the dialect; who, by what, and with which outcome
  log level = 1 smb2:3 auth:2 auth_audit:4

  # every pipe is a Unix socket's, none Samba's own
  rpc start on demand helpers = no
  load printers = no
  printing = bsd
  disable spoolss = yes
{pipe_users})";

constexpr auto no_guests = R"(
  # nobody but who proves an identity
  map to guest = never
  restrict anonymous = 2)";
constexpr auto some_guests = R"(
  map to guest = Bad User)";

std::string dialect(const std::string &name) {
  static const std::map<std::string, std::string> names = {{"1.0", "NT1"},       {"2.0.2", "SMB2_02"},
                                                           {"2.1", "SMB2_10"},   {"3.0", "SMB3_00"},
                                                           {"3.0.2", "SMB3_02"}, {"3.1.1", "SMB3_11"}};
  const auto found = names.find(name);
  if (found == names.end()) throw LabError("smbd: there is no dialect " + name);
  return found->second;
}

std::string encryption(const std::string &name) {
  if (name == "off" || name == "required") return name;
  if (name == "allowed") return "if_required";
  throw LabError("smbd: there is no encryption \"" + name + "\"");
}

std::string algorithms(const SmbdOptions &options) {
  std::string lines;
  if (!options.ciphers.empty())
    lines += fmt::format("  server smb3 encryption algorithms = {}\n", fmt::join(options.ciphers, " "));
  if (!options.signers.empty())
    lines += fmt::format("  server smb3 signing algorithms = {}\n", fmt::join(options.signers, " "));
  return lines;
}

std::string kerberos(const fs::path &keytab) {
  if (keytab.empty()) return {};
  return fmt::format("  kerberos method = dedicated keytab\n  dedicated keytab file = FILE:{}\n",
                     keytab.string());
}

std::string pipe_users(const std::vector<std::string> &names) {
  if (names.empty()) return {};
  return fmt::format("\n[IPC$]\n  path = /tmp\n  valid users = {}\n", fmt::join(names, " "));
}

void demand(const char *library, const char *package) {
  for (const auto *folder :
       {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"})
    if (fs::exists(fs::path(folder) / library)) return;
  throw LabError(fmt::format("{} is not installed: apt-get install {}", library, package));
}

/// Root of a user namespace (--netns) is not root enough for smbd, which ends where it cannot set its groups.
bool root_without_groups() {
  return ::geteuid() == 0 && read_file("/proc/self/setgroups").starts_with("deny");
}

} // namespace

Smbd::Smbd(fs::path folder, SmbdOptions options) : folder_(std::move(folder)), options_(std::move(options)) {
  demand(names_wrapper, "libnss-wrapper");
  if (root_without_groups()) demand(ids_wrapper, "libuid-wrapper");
  for (const auto *part : {"private", "state", "lock", "cache", "run", "ncalrpc/np"})
    fs::create_directories(folder_ / part);
  fs::permissions(folder_ / "ncalrpc/np", fs::perms::owner_all); // smbd insists
  add_accounts();
  start();
}

fs::path Smbd::pipe(std::string name) const {
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return folder_ / "ncalrpc/np" / name;
}

void Smbd::start() {
  stop();
  write_file(folder_ / "smb.conf", configuration());
  // Not as a daemon of its own making: it is our child and ends with us. At its end it kills its whole
  // process group, which is its own (Process).
  process_.emplace(
      Command{.argv = {"smbd", "--foreground", "--no-process-group", "--configfile", folder_ / "smb.conf"},
              .environment = environment(),
              .output = folder_ / "smbd.out"});
  try {
    process_->wait_for_port(options_.address, options_.port);
  } catch (const LabError &failure) {
    throw LabError(fmt::format("{}{}", failure.what(), tail(folder_ / "smbd.log")));
  }
}

void Smbd::stop() {
  if (process_) process_->stop();
}

void Smbd::restart(SmbdOptions options) {
  options.address = options_.address;
  options.port = options_.port;
  options_ = std::move(options);
  start();
}

std::string Smbd::configuration() const {
  using namespace fmt::literals;
  return fmt::format(
      fmt::runtime(smb_conf_template), "workgroup"_a = options_.workgroup, "server"_a = options_.server_name,
      "realm"_a = options_.realm, "address"_a = options_.address, "port"_a = options_.port,
      "lowest"_a = dialect(options_.lowest), "highest"_a = dialect(options_.highest),
      "signing"_a = options_.signing && !options_.guests ? "mandatory" : "auto",
      "encryption"_a = encryption(options_.encryption), "algorithms"_a = algorithms(options_),
      "kerberos"_a = kerberos(options_.keytab), "guests"_a = options_.guests ? some_guests : no_guests,
      "pipe_users"_a = pipe_users(options_.pipe_users), "folder"_a = folder_.string());
}

Environment Smbd::environment() const {
  Environment result{{"LD_PRELOAD", names_wrapper},
                     {"NSS_WRAPPER_PASSWD", folder_ / "passwd"},
                     {"NSS_WRAPPER_GROUP", folder_ / "group"},
                     {"_NO_WINBINDD", "1"}}; // the system's, if it has one
  if (!root_without_groups()) return result;
  result["LD_PRELOAD"] = fmt::format("{}:{}", names_wrapper, ids_wrapper);
  result["UID_WRAPPER"] = result["UID_WRAPPER_ROOT"] = "1"; // changes of ids are played
  return result;
}

void Smbd::add_accounts() const {
  const auto nobody = 65534;
  auto passwd = fmt::format("nobody:x:{0}:{0}::/:/bin/false\n", nobody);
  for (const auto &[name, password] : options_.accounts)
    passwd += fmt::format("{}:x:{}:{}::/:/bin/false\n", name, ::getuid(), ::getgid());
  write_file(folder_ / "passwd", passwd);
  write_file(folder_ / "group", fmt::format("lab:x:{}:\nnogroup:x:{}:\n", ::getgid(), nobody));
  write_file(folder_ / "smb.conf", configuration());
  for (const auto &[name, password] : options_.accounts) {
    const auto added = run({.argv = {"pdbedit", "--configfile", folder_ / "smb.conf", "--create",
                                     "--password-from-stdin", "--user", name},
                            .environment = environment()},
                           fmt::format("{0}\n{0}\n", password));
    if (added.status != 0) throw LabError(fmt::format("pdbedit {}: {}", name, added.output));
  }
}

} // namespace lab

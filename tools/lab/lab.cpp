#include "tools/lab/lab.hpp"

#include "tools/lab/certificates.hpp"
#include "tools/lab/netns.hpp"

#include "shim/transport/asio.hpp"
#include "tds/login7.hpp"
#include "tds/packet.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace lab {
namespace {

struct RouteOfLab {
  const char *name;
  const char *target;
  const char *identity;
};
constexpr auto ipv6_loopback = "::1";
constexpr std::string_view ntlm_fallback = "ntlm-fallback";
constexpr RouteOfLab routes[] = {{"reports", sql1, "reports"},
                                 {"alias", "sqlalias.corp.test", "reports"},
                                 {ntlm_fallback.data(), sql1, "reports-password"}};

/// The `encrypt` of a route that fits a server.
std::string fitting_encrypt(const std::string &server_encrypt) {
  return server_encrypt == "on" ? "require" : server_encrypt;
}

std::vector<std::string> search(const Plan &plan) {
  if (plan.other_domain.empty()) return {"corp.test"};
  return {plan.other_domain, "corp.test"};
}

/// What the lab's configuration says of TLS: keys of [[route]].
std::string tls_keys(const Plan &plan) {
  return fmt::format("encrypt = \"{}\"\nca_file = \"ca.pem\"\n", plan.route_encrypt);
}

/// What the lab's configuration says of the route ntlm-fallback alone. Where a server has no TLS for all of a
/// login, its NTLM is readable, which the route must allow.
std::string fallback_keys(const Plan &plan) {
  const bool readable = plan.route_encrypt == "off" || plan.route_encrypt == "login";
  return plan.fallback_keys + (readable && !plan.fallback_keys.empty() ? "unprotected = \"accept\"\n" : "");
}

/// One login, with LOGIN7 alone as clients of TDS 7.1 may send it, until sqlshim has answered and closed. It
/// is expected to be refused.
void spend_login(std::uint16_t port) {
  tds::Login7 login;
  login.tds_version = tds::tds_7_1;
  login.user_name = u"lab";
  login.app_name = u"sqlshim-lab";
  const auto message = tds::encode_message(tds::PacketType::login7, *tds::encode_login7(login));
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  boost::system::error_code error;
  socket.connect({asio::ip::make_address("127.0.0.1"), port}, error);
  if (!error) asio::write(socket, asio::buffer(message), error);
  std::array<char, 4096> answer;
  while (!error)
    socket.read_some(asio::buffer(answer), error);
  if (error != asio::error::eof) throw LabError("the lab's own login: " + error.message());
}

/// Who may log in by NTLM: those whom the KDC knows by a password, with the same one.
std::map<std::string, std::string> accounts() {
  const auto of_realm = [](std::string name) { return name + "@CORP.TEST"; };
  return {{of_realm(service_account), service_password},
          {of_realm("alice"), "alicepw"},
          {of_realm("bob"), "bobpw"}};
}

const sigset_t &our_signals() {
  static const sigset_t set = [] {
    sigset_t fresh;
    ::sigemptyset(&fresh);
    for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP})
      ::sigaddset(&fresh, number);
    return fresh;
  }();
  return set;
}

} // namespace

constexpr auto smb_keytab = "smb.keytab";

std::string full_name(const std::string &host) { return host.contains('.') ? host : host + ".corp.test"; }

Lab::Lab(LabOptions options) : options_(std::move(options)) {
  Plan plan;
  plan.peer.accounts = accounts();
  plan.peer.encrypt = options_.server_encrypt;
  plan.peer.epa = options_.epa;
  plan.route_encrypt = fitting_encrypt(options_.server_encrypt);
  if (!options_.fault.empty()) find_fault(options_.fault).apply(plan);
  if (options_.change) options_.change(plan);
  if (options_.keep) folder_.keep();
  if (plan.ipv6) {
    if (!options_.hosts.empty())
      throw LabError("there is one IPv6 loopback address: a lab on it has no more hosts");
    ipv6_ = true;
    sql_port_ = free_port(ipv6_loopback);
    plan.realm.kdc_address = ipv6_loopback;
    plan.realm.kdc_port = free_port(ipv6_loopback);
  } else if (!port_free(block_.server(0), sql_port_)) {
    sql_port_ = 11433;
    fmt::print(stderr,
               "lab: another program holds port 1433 on all addresses: the lab's servers listen on 11433.\n");
  }
  if (!options_.instance.empty()) instance_port_ = free_port(address(0));
  bring_up_realm(plan);
  bring_up_dns(plan);
  make_certificates(plan);
  if (options_.smb) bring_up_smb(plan);
  bring_up_servers(plan);
  write_configuration(plan);
  if (!plan.kdc_runs) realm_->stop_kdc();
  if (!options_.serve) return;
  start_serve();
  for (int login = 0; login < plan.logins_before; ++login)
    spend_login(port(options_.route));
}

Lab::~Lab() { stop_serve(); }

void Lab::bring_up_realm(Plan &plan) {
  if (plan.change_kdc_answers) {
    front_.emplace(KdcFrontOptions{.address = block_.address(3),
                                   .kdc_address = block_.kdc(),
                                   .kdc_port = plan.realm.kdc_port,
                                   .change = plan.change_kdc_answers});
    plan.realm.kdcs = {fmt::format("{}:{}", block_.address(3), front_->port())};
  }
  realm_.emplace(folder(), block_, plan.realm);
  const auto keytab = folder() / "peer.keytab";
  std::string commands =
      fmt::format("addprinc -pw {} +requires_preauth {}\nktadd -norandkey -k {} {}\n", service_password,
                  service_account, (folder() / "reports.keytab").string(), service_account);
  for (std::size_t index = 0; index <= options_.hosts.size(); ++index)
    commands +=
        fmt::format("addprinc -randkey {0}\nktadd -norandkey -k {1} {0}\n", spn(index), keytab.string());
  if (options_.smb) commands += pipe_principals(keytab);
  realm_->kadmin(commands); // one run: each costs a tenth of a second
  for (const auto &made : {keytab, folder() / "reports.keytab", folder() / smb_keytab})
    if (fs::exists(made)) fs::permissions(made, fs::perms::owner_read | fs::perms::owner_write);
  write_file(folder() / "reports.password", fmt::format("{}\n", service_password));
  plan.spoil_realm(*realm_);
}

/// kadmin's commands for what a pipe needs: the SMB server's own SPN, and SQL Server's, which over a pipe has
/// no port. (Microsoft's "Registering a Service Principal Name", of SQL Server 2008.)
std::string Lab::pipe_principals(const fs::path &keytab) const {
  const auto sql =
      fmt::format("MSSQLSvc/{}{}", sql1, options_.instance.empty() ? "" : ":" + options_.instance);
  return fmt::format("addprinc -randkey {0}\nktadd -norandkey -k {1} {0}\n", sql, keytab.string()) +
         fmt::format("addprinc -randkey +no_auth_data_required {0}\nktadd -norandkey -k {1} {0}\n",
                     fmt::format("cifs/{}", sql1), (folder() / smb_keytab).string());
}

void Lab::bring_up_dns(const Plan &plan) {
  constexpr std::uint16_t system_port = 53; // resolv.conf knows no other
  dns_.emplace(folder() / "dns", block_, options_.netns ? system_port : Dns::port_number);
  for (std::size_t index = 0; index <= options_.hosts.size(); ++index) {
    if (index == 0 && !plan.sql1_has_address) continue;
    if (options_.no_ptr) {
      dns_->address_only(host(index), address(index));
      continue;
    }
    dns_->host(host(index), address(index));
    dns_->ptr(address(index), index == 0 && !plan.sql1_ptr.empty() ? plan.sql1_ptr : host(index));
  }
  if (!plan.other_domain.empty()) {
    dns_->domain(plan.other_domain);
    dns_->address_only("sql1." + plan.other_domain, address(0));
  }
  dns_->cname("sqlalias.corp.test", sql1);
  for (const auto &[alias, target] : options_.cnames)
    dns_->cname(alias, target);
  for (const auto &[alias, target] : options_.cnames)
    if (!dns_->knows(target)) dns_->address_only(target, address(0));
  dns_->start();
  if (options_.netns)
    resolve_by(folder() / "etc", dns_->address(), fmt::format("{}", fmt::join(search(plan), " ")));
}

void Lab::make_certificates(const Plan &plan) const {
  using namespace std::chrono_literals;
  using Wrong = Plan::Wrong;
  const auto authority = make_authority("The lab's authority");
  write_file(folder() / "ca.pem", authority.pem(), 0644);
  CertificateWish wish{.names = {sql1, "sqlalias.corp.test"}};
  for (std::size_t index = 1; index <= options_.hosts.size(); ++index)
    wish.names.push_back(host(index));
  for (const auto &[alias, target] : options_.cnames)
    wish.names.push_back(alias);
  if (plan.certificate == Wrong::other_name) wish.names = {"other.corp.test"};
  if (plan.certificate == Wrong::weak) wish.rsa_bits = 1024;
  if (plan.certificate == Wrong::expired) {
    wish.valid_from = -48h;
    wish.valid_to = -24h;
  }
  const auto made = plan.certificate == Wrong::self_signed ? self_signed(wish)
                    : plan.certificate == Wrong::unknown_issuer
                        ? issue(make_authority("Nobody's authority"), wish)
                        : issue(authority, wish);
  made.write(folder() / "peer.pem", folder() / "peer.key");
}

PeerOptions Lab::peer_options(const Plan &plan, std::size_t index) const {
  auto options = plan.peer;
  options.address = address(index);
  options.port = first_port(index);
  if (index == 0 && !options_.instance.empty()) {
    options.instance = options_.instance;
    options.spn_host = sql1;
  }
  options.keytab = folder() / "peer.keytab";
  options.certificate = folder() / "peer.pem";
  options.key = folder() / "peer.key";
  if (index == 0 && smbd_) options.pipe = smbd_->pipe(pipe());
  options.server_name = host(index).substr(0, host(index).find('.'));
  for (auto &letter : options.server_name)
    letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  if (index > 0) options.route.reset();
  if (const auto change = plan.hosts.find(host(index)); change != plan.hosts.end()) change->second(options);
  if (options.route && options.route->port == 0) options.route->port = sql_port_;
  return options;
}

void Lab::bring_up_smb(Plan &plan) {
  if (ipv6_) throw LabError("the lab's SMB server is on IPv4: not in a lab on IPv6");
  auto &smbd = plan.smbd;
  smbd.address = address(0);
  if (!port_free(smbd.address, smbd.port)) smbd.port = free_port(smbd.address);
  smbd.keytab = folder() / smb_keytab;
  for (const auto &[principal, password] : accounts())
    smbd.accounts.emplace(principal.substr(0, principal.find('@')), password);
  smbd_.emplace(folder() / "smb", smbd);
  if (!plan.smbd_runs) smbd_->stop();
  if (!plan.smb_front) return;
  plan.smb_front->address = plan.smb_front->smb_address = smbd.address;
  plan.smb_front->smb_port = smbd.port;
  smb_front_.emplace(*plan.smb_front);
}

std::string Lab::pipe() const {
  return options_.instance.empty() ? R"(sql\query)" : fmt::format(R"(MSSQL${}\sql\query)", options_.instance);
}

void Lab::bring_up_servers(Plan &plan) {
  if (plan.server == Plan::Server::black_hole) black_hole_.emplace(block_.server(0), sql_port_);
  for (std::size_t index = 0; index <= options_.hosts.size(); ++index) {
    if (index == 0 && plan.server != Plan::Server::runs) continue;
    const auto name = host(index).substr(0, host(index).find('.'));
    peers_.push_back(std::make_unique<Peer>(folder(), peer_options(plan, index), realm_->environment(),
                                            index == 0 ? "peer" : "peer-" + name));
  }
  if (options_.instance.empty()) return;
  browser_.emplace(
      address(0), options_.instance, [config = folder() / "peer.json"] { return port_now(config); },
      smbd_ ? fmt::format(R"(\\SQL1\pipe\{})", pipe()) : "");
}

void Lab::write_configuration(const Plan &plan) const {
  const auto port_suffix = !options_.instance.empty() ? R"(\\)" + options_.instance
                           : sql_port_ == 1433        ? std::string()
                                                      : fmt::format(",{}", sql_port_);
  auto toml = fmt::format(
      "# Made by the lab. `sqlshim check` explains it; SIGHUP to $SQLSHIM_PID empties the caches.\n"
      "[log]\ndecisions = \"decisions.jsonl\"\n\n"
      "[state]\ndirectory = \"state\"\n\n"
      "[dns]\nservers = [\"{0}\"]\nsearch = [\"{1}\"]\n\n"
      "[kerberos]\nconfig = \"krb5.conf\"\n"
      "refusals = \"0s\"  # what is mended in the KDC is seen at once\n\n"
      "[[identity]]\nname = \"reports\"\n{2}{4}\n"
      "[[identity]]\nname = \"reports-password\"\n{3}{4}\n",
      dns_->server(), fmt::join(search(plan), "\", \""), plan.identity, plan.password_identity,
      plan.identity_extra);
  for (const auto &[name, full, identity] : routes) {
    const auto *target = !plan.other_domain.empty() && full == std::string_view(sql1) ? "sql1" : full;
    toml += fmt::format(
        "[[listener]]\nname = \"{0}\"\naddress = \"{6}:0\"\n{1}\n"
        "[[route]]\nname = \"{0}\"\nmatch = {{ listener = \"{0}\"{2} }}\ntarget = \"{3}{4}\"\nidentity = \"{8}\"\n"
        "{5}{7}{9}\n",
        name, plan.listener_extra, plan.route_match, target, port_suffix, tls_keys(plan),
        ipv6_ ? "[::1]" : "127.0.0.1", plan.route_extra, identity,
        name == ntlm_fallback ? fallback_keys(plan) : "");
  }
  write_file(folder() / "sqlshim.toml", toml);
  write_freetds_conf(plan);
}

/// FreeTDS's words: off says NOT_SUP, request OFF, require ON; of TDS 8.0 it knows nothing. The section's
/// host is mostly an address, which no certificate here names.
void Lab::write_freetds_conf(const Plan &plan) const {
  const auto &server = plan.peer.encrypt;
  const auto *encryption = server == "off" ? "off" : server == "login" ? "request" : "require";
  write_file(
      folder() / "freetds.conf",
      fmt::format("[peer]\n  host = {}\n  port = {}\n  tds version = 7.4\n  encryption = {}\n  ca file = {}\n"
                  "  check certificate hostname = no\n  spn = {}\n",
                  peer_host(), first_port(0), encryption, (folder() / "ca.pem").string(), spn()));
}

std::string Lab::host(std::size_t index) const {
  return index == 0 ? sql1 : full_name(options_.hosts.at(index - 1));
}
std::string Lab::address(std::size_t index) const {
  return ipv6_ ? ipv6_loopback : block_.server(static_cast<int>(index));
}
std::string Lab::peer_host() const { return options_.netns ? sql1 : address(0); }
std::uint16_t Lab::first_port(std::size_t index) const {
  return index == 0 && instance_port_ ? instance_port_ : sql_port_;
}
std::string Lab::spn(std::size_t index) const {
  return fmt::format("MSSQLSvc/{}:{}", host(index), first_port(index));
}
std::string Lab::spn() const { return spn(0) + "@" + realm_->name(); }

std::uint16_t Lab::port(const std::string &route) const {
  const auto found = ports_.find(route);
  if (found == ports_.end()) throw LabError(fmt::format("the lab's sqlshim has no listener \"{}\"", route));
  return found->second;
}

Environment Lab::environment() const {
  auto result = realm_->environment();
  const char *path = std::getenv("PATH");
  result["PATH"] = fmt::format("{}:{}:/usr/sbin", program_folder().string(), path ? path : "/usr/bin:/bin");
  result["SQLSHIM_LAB"] = folder();
  result["SQLSHIM_CONFIG"] = folder() / "sqlshim.toml";
  result["SQLSHIM_SPN"] = spn();
  result["SQLSHIM_PEER_HOST"] = peer_host();
  result["SQLSHIM_PEER_PORT"] = std::to_string(first_port(0));
  const bool peer_of_sql1 = !peers_.empty() && peers_.front()->address() == address(0);
  result["SQLSHIM_PEER_PID"] = peer_of_sql1 ? std::to_string(peers_.front()->pid()) : "";
  result["FREETDSCONF"] = folder() / "freetds.conf";
  result["KRB5CCNAME"] = fmt::format("FILE:{}/ccache", folder().string());
  result["SQLSHIM_PID"] = serve_ ? std::to_string(serve_->pid()) : "";
  result["SQLSHIM_PORT"] = serve_ ? std::to_string(port(options_.route)) : "";
  return result;
}

void Lab::start_serve() {
  stop_serve();
  const auto program = program_folder() / "sqlshim";
  serve_.emplace(Command{.argv = {program, "serve", "--config", folder() / "sqlshim.toml"},
                         .output = folder() / "serve.log"});
  for (const auto &[name, target, identity] : routes) {
    const auto place = serve_->wait_for_line(fmt::format("listening {} ", name));
    ports_[name] = static_cast<std::uint16_t>(std::stoi(place.substr(place.rfind(':') + 1)));
  }
}

void Lab::stop_serve() {
  if (!serve_) return;
  serve_->signal(SIGTERM);
  serve_->stop(); // the second SIGTERM does not wait for sessions to drain
  serve_.reset();
}

void Lab::block_signals() { ::pthread_sigmask(SIG_BLOCK, &our_signals(), nullptr); }

int Lab::run(std::vector<std::string> command) {
  if (command.empty()) {
    const char *shell = std::getenv("SHELL");
    command = {shell && *shell ? shell : "/bin/sh"};
  }
  Process running({.argv = std::move(command), .environment = environment(), .terminal = true});
  bool forwarded = false;
  while (running.running()) {
    siginfo_t signal{};
    const timespec soon{0, 20'000'000}; // SIGCHLD belongs to nobody: the end is looked for
    if (::sigtimedwait(&our_signals(), &signal, &soon) < 0) continue;
    // What the terminal sends goes to the whole process group, the command included.
    if (signal.si_code == SI_KERNEL) continue;
    running.signal(std::exchange(forwarded, true) ? SIGKILL : signal.si_signo);
  }
  return running.status().value_or(2);
}

} // namespace lab

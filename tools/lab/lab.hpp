// The whole lab: realm, DNS, peers and sqlshim, brought up on addresses of their own in a folder of their
// own, and taken down again.
#pragma once

#include "tools/lab/black_hole.hpp"
#include "tools/lab/dns.hpp"
#include "tools/lab/peer/browser.hpp"
#include "tools/lab/peer/peer.hpp"
#include "tools/lab/plan.hpp"
#include "tools/lab/realm.hpp"
#include "tools/lab/smb.hpp"

namespace lab {

struct LabOptions {
  std::string fault = {};              ///< --break; empty: nothing is broken
  std::vector<std::string> hosts = {}; ///< --host: more servers
  std::string route = "reports";       ///< --route: where SQLSHIM_PORT leads to
  std::string server_encrypt = "on";   ///< --server-encrypt: off, login, on, require, strict
  std::string epa = "allowed";         ///< --epa: off, allowed, required
  /// --cname, alias and target by their full names: the alias's own record goes. A target that nobody knows
  /// gets sql1's address, and no PTR.
  std::vector<std::pair<std::string, std::string>> cnames = {};
  std::string instance = {}; ///< --instance: sql1 is a named instance, at a port that SQL Browser tells
  bool smb = false;          ///< --with smb: sql1 is to be had by a named pipe, too
  bool no_ptr = false;       ///< --no-ptr: no server's address has a name
  bool netns =
      /// --netns: the process is in one (`enter_netns`); DNS is on port 53 there and
      /// resolves for every program
      false;
  bool keep = false; ///< --keep
  bool serve = true; ///< start `sqlshim serve`; without it, everything but SQLSHIM_PORT and SQLSHIM_PID
  std::function<void(Plan &)> change = {}; ///< what a test wants otherwise, after the fault
};

/// Up when constructed, down when destroyed.
///
///   lab::Lab lab({.fault = "spn-missing"});
///   auto done = lab::run({.argv = {"tsql", "-H", "127.0.0.1", "-p", std::to_string(lab.port())},
///                         .environment = lab.environment()});
class Lab {
public:
  /// Throws LabError when a part does not come up, with the end of its log.
  explicit Lab(LabOptions options = {});
  ~Lab();

  const fs::path &folder() const { return folder_.path(); }
  const Block &block() const { return block_; }
  Realm &realm() { return *realm_; }
  Dns &dns() { return *dns_; }
  /// sql1, then the --host ones in their order.
  Peer &peer(std::size_t index = 0) { return *peers_.at(index); }
  Process &serve() { return *serve_; }

  std::string spn() const; ///< of sql1, with realm: what SQLSHIM_SPN says
  std::uint16_t sql_port() const {
    return sql_port_;
  } ///< of all servers but a named instance: 1433; 11433 where another program holds 0.0.0.0:1433
  /// Where sql1 listens now, if it is a named instance: it moves on SIGUSR1.
  std::uint16_t instance_port() const { return port_now(folder() / "peer.json"); }
  /// The SQL Browser of a lab with a named instance.
  BrowserService &browser() { return *browser_; }
  /// The SMB server of a lab that has one; `pipe()` is the pipe below \\sql1\pipe\ that leads to sql1.
  Smbd &smbd() { return *smbd_; }
  std::string pipe() const;
  /// Where the way to the SMB server begins: its own port, or that of what stands before it; on sql1's
  /// address.
  std::uint16_t smb_port() const { return smb_front_ ? smb_front_->port() : smbd_->options().port; }
  SmbFront &smb_front() { return *smb_front_; }
  /// Where `sqlshim serve` listens for that route.
  std::uint16_t port(const std::string &route = "reports") const;
  std::string decisions() const { return read_file(folder() / "decisions.jsonl"); }
  /// All that COMMAND gets (reference: SQLSHIM_LAB, SQLSHIM_PORT, FREETDSCONF, …).
  Environment environment() const;

  void start_serve();
  void stop_serve();

  /// Runs COMMAND (none: $SHELL) on our terminal and forwards SIGTERM and SIGHUP to it. Its exit status.
  /// `block_signals()` must have been called before.
  int run(std::vector<std::string> command);
  /// Holds back SIGINT, SIGQUIT, SIGTERM and SIGHUP, so that none of them ends us with the lab
  /// half up: `run` takes them.
  static void block_signals();

private:
  void bring_up_realm(Plan &plan);
  std::string pipe_principals(const fs::path &keytab) const;
  void bring_up_dns(const Plan &plan);
  void make_certificates(const Plan &plan) const;
  void bring_up_smb(Plan &plan);
  void bring_up_servers(Plan &plan);
  PeerOptions peer_options(const Plan &plan, std::size_t index) const;
  void write_configuration(const Plan &plan) const;
  void write_freetds_conf(const Plan &plan) const;
  std::string host(std::size_t index) const;
  std::string address(std::size_t index) const;      ///< of that host
  std::string peer_host() const;                     ///< where COMMAND finds sql1
  std::string spn(std::size_t index) const;          ///< of that host, without realm
  std::uint16_t first_port(std::size_t index) const; ///< where that host listens at first

  LabOptions options_;
  TemporaryFolder folder_;
  Block block_;
  std::uint16_t sql_port_ = 1433;
  std::uint16_t instance_port_ = 0; // of sql1 at first, where it is a named instance
  bool ipv6_ = false;
  std::optional<KdcFront> front_;
  std::optional<Realm> realm_;
  std::optional<Dns> dns_;
  std::optional<Smbd> smbd_;
  std::optional<SmbFront> smb_front_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::optional<BlackHole> black_hole_;
  std::optional<BrowserService> browser_;
  std::optional<Process> serve_;
  std::map<std::string, std::uint16_t> ports_; // of sqlshim, by listener
};

/// "sql2" as "sql2.corp.test"; a name with a dot is full already.
std::string full_name(const std::string &host);

} // namespace lab

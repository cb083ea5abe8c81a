// A real SMB server on loopback: Samba's smbd, standalone, as the ordinary user that we are. It has no
// shares; what it is asked for on IPC$ it hands to whoever listens at the pipe's Unix socket.
#pragma once

#include "tools/lab/process.hpp"

namespace lab {

struct SmbdOptions {
  std::string address = {};
  std::uint16_t port = 4455;    ///< 445 is not an ordinary user's
  std::string lowest = "2.0.2"; ///< dialect: 2.0.2, 2.1, 3.0, 3.0.2, 3.1.1; 1.0 for a server of old
  std::string highest = "3.1.1";
  bool signing = true;                   ///< it insists; else it does as the client asks
  std::string encryption = "off";        ///< off, allowed, required (then it refuses 2.x)
  std::vector<std::string> ciphers = {}; ///< "AES-256-GCM"; none: Samba's own list. 3.1.1 alone can choose
  std::vector<std::string> signers =
      {};              ///< "AES-128-GMAC", "AES-128-CMAC", "HMAC-SHA256"; none: Samba's own list
  bool guests = false; ///< whoever it does not know is a guest; then it does not insist on signing
  /// Who may have a pipe; none: everybody who logs in.
  std::vector<std::string> pipe_users = {};
  std::string workgroup = "CORP";
  std::string server_name = "SQL1"; ///< its NetBIOS name, of at most 15 letters
  std::string realm = "CORP.TEST";
  /// The key of cifs/HOST; empty: no Kerberos. It must be a principal without authorisation data
  /// (+no_auth_data_required): Samba takes a PAC from a domain controller alone.
  fs::path keytab = {};
  std::map<std::string, std::string>
      accounts; ///< with their passwords, for NTLM; by Kerberos all of these, too
};

/// Up when constructed, down when destroyed. Everything it has lies in `folder`: smb.conf, smbd.log, its
/// databases, ncalrpc/np/ (the pipes).
///
/// The accounts need no entry in the system's passwd, nor does the uid that we run as: nss_wrapper shows smbd
/// a passwd of ours, where each of them is we.
class Smbd {
public:
  /// Throws LabError when it does not come up, or a package is missing.
  Smbd(fs::path folder, SmbdOptions options);

  const SmbdOptions &options() const { return options_; }
  /// The Unix socket of a pipe, "sql\query": who listens there serves it. (smbd looks for small letters,
  /// whatever the client wrote.)
  fs::path pipe(std::string name) const;
  /// "Selected protocol SMB3_11", who was authenticated and how, what was refused.
  std::string log() const { return read_file(folder_ / "smbd.log"); }
  pid_t pid() const { return process_->pid(); }
  Process &process() { return *process_; }

  void start();
  /// Its connections end, too.
  void stop();
  /// At the same address, to behave otherwise.
  void restart(SmbdOptions options);

private:
  std::string configuration() const;
  Environment environment() const;
  void add_accounts() const;

  fs::path folder_;
  SmbdOptions options_;
  std::optional<Process> process_;
};

} // namespace lab

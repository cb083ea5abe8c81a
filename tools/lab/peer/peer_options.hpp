// How a peer behaves: everything a test or a fault of the lab can ask of it. A plain struct; as JSON
// for the peer's own process.
#pragma once

#include "tds/prelogin.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace lab {

/// A moment of the login, at which a peer may misbehave.
enum class Moment {
  never,
  accepted,          ///< nothing was read yet
  prelogin,          ///< PRELOGIN was read, not answered
  prelogin_answered, ///< answered; LOGIN7 is not read
  tls,               ///< ClientHello was read, not answered
  login,             ///< LOGIN7 was read, nothing is answered
  sspi_answered,     ///< the SSPI token went out, LOGINACK does not
};

/// An ERROR token in place of LOGINACK.
struct LoginError {
  std::uint32_t number = 18456;
  std::uint8_t state = 1;
  std::uint8_t severity = 14;
  std::string text;
};

/// ENVCHANGE 20 in the login reply, or 21.
struct RouteTo {
  std::string server;            ///< a name; with an instance: "sql2\INST"
  std::uint16_t port = 0;        ///< in a plan of the lab 0 stands for the port of its servers
  bool enhanced = false;         ///< 21, with a database
  std::string database = {};     ///< of 21
  bool without_loginack = false; ///< nothing else is in the reply but DONE
};

struct PeerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;        ///< 0: the kernel chooses
  std::filesystem::path keytab;  ///< read anew at each login; empty: no integrated login
  std::filesystem::path records; ///< where N.wire.bin, N.tds.bin, N.json go; empty: nowhere
  /// A Unix socket, at which smbd hands over what comes by a named pipe (pipe.hpp); empty: by TCP alone.
  std::filesystem::path pipe;
  std::string server_name = "SQL1";
  /// Its instance name: PRELOGIN that asks for another one is answered so; empty: any will do. With it,
  /// SIGUSR1 moves the peer to another port (`run_peer`).
  std::string instance;
  /// of a named instance, whose SPNs are by port: "sql1.corp.test"; empty: it moves without one
  std::string spn_host;

  // TLS, as reference.md says of --server-encrypt.
  std::string encrypt = "off";       ///< off, login, on, require, strict
  std::filesystem::path certificate; ///< PEM; needed by everything but off
  std::filesystem::path key;
  std::string tls_min = "1.2"; ///< 1.0 to 1.3
  std::string tls_max;         ///< empty: 1.2, and 1.3 with strict
  /// Extended Protection: off, allowed (wrong channel bindings are refused, none are good) or
  /// required (none are refused, too).
  std::string epa = "off";

  // Who may log in, and to what.
  std::map<std::string, std::string> logins = {{"sa", "Lab.Passw0rd"}}; ///< SQL logins with their passwords
  /// Principals that have a login here, by Kerberos or NTLM; none: everybody with a good ticket or password.
  std::optional<std::vector<std::string>> principals;
  std::map<std::string, std::string>
      accounts;     ///< by NTLM: principals with their passwords ("svc-reports@CORP.TEST")
  bool ntlm = true; ///< else every NTLM login is refused (18452), as where it is forbidden in the domain
  bool ntlm_timestamp = true; ///< the challenge has a time; else clients cannot protect their login (no MIC)
  std::map<std::string, std::string> domains = {
      {"CORP.TEST", "CORP"}}; ///< realm to NetBIOS domain, for SUSER_SNAME() and NTLM
  std::vector<std::string> databases = {"master", "tempdb",
                                        "reports"}; ///< the first is where a login without database starts

  // Faults.
  Moment close_at = Moment::never;
  Moment hang_at = Moment::never;            ///< nothing more is said, until the client goes
  std::optional<tds::Encryption> encryption; ///< the answer to ENCRYPTION, whatever was asked
  bool tls_in_replies = false;               ///< our TLS flights in packets of type 0x04 instead of 0x12
  bool tls_garbage = false;                  ///< ClientHello is answered with bytes that are no TLS
  bool refuse_mars = false;                  ///< MARS 0 whatever was asked
  bool native_errors = false;                ///< MIT's KRB-ERROR codes instead of Windows'
  bool omit_sspi_token = false;              ///< LOGINACK without the server's proof of itself
  bool unknown_token = false;                ///< a token type that does not exist, before LOGINACK
  bool early_garbage = false;                ///< bytes that are no TDS, at once after accepting
  std::optional<LoginError> login_error;
  std::optional<RouteTo> route;
  std::string partner; ///< ENVCHANGE 13 in the login reply: the mirroring partner; empty: none
  std::chrono::milliseconds login_delay{0}; ///< before the answer to LOGIN7
};

void to_json(nlohmann::json &json, const PeerOptions &options);
/// Every key is optional. Throws nlohmann::json::exception for a wrong type, LabError
/// for an unknown key or value.
void from_json(const nlohmann::json &json, PeerOptions &options);

} // namespace lab

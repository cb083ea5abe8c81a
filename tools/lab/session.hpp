// One logged-in session of the peer: the facts that its answers are made of.
#pragma once

#include "tds/token.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace lab {

struct Session {
  tds::Version version;
  std::string login;               ///< SUSER_SNAME(): "CORP\svc-reports", "sa"
  std::string auth_scheme = "SQL"; ///< KERBEROS, NTLM or SQL: what really happened
  std::string host_name;           ///< as the client typed it in LOGIN7
  std::string app_name;
  std::string client_interface;
  std::uint32_t client_pid = 0;
  std::string database = "master";
  std::string server_name = "SQL1";
  std::string client_address;
  std::uint16_t client_port = 0;
  std::string local_address;
  std::uint16_t local_port = 0;
  std::uint16_t spid = 51;
  std::uint32_t packet_size = 4096; ///< bytes
  bool encrypted = false;           ///< the whole session is under TLS, not its login alone

  // What statements change.
  int transactions = 0; ///< @@TRANCOUNT
  std::uint64_t transaction = 0;
  std::map<std::int32_t, std::string> prepared; ///< statements by the handle that sp_prepare gave
  std::int32_t last_handle = 0;
};

} // namespace lab

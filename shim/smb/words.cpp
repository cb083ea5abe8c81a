// What stands in a log for what stands on the wire.
#include "shim/smb/message.hpp"

#include <cstdio>
#include <utility>

namespace shim::smb {

std::string to_string(Dialect dialect) {
  switch (dialect) {
  case Dialect::v202:
    return "2.0.2";
  case Dialect::v210:
    return "2.1";
  case Dialect::v300:
    return "3.0";
  case Dialect::v302:
    return "3.0.2";
  case Dialect::v311:
    return "3.1.1";
  }
  return "?";
}

std::string to_string(Cipher cipher) {
  constexpr std::array names{"", "AES-128-CCM", "AES-128-GCM", "AES-256-CCM", "AES-256-GCM"};
  return names.at(std::to_underlying(cipher));
}

std::string to_string(Signer signer) {
  constexpr std::array names{"HMAC-SHA256", "AES-CMAC", "AES-GMAC"};
  return names.at(std::to_underlying(signer));
}

std::string to_string(Status status) {
  constexpr std::array names{
      std::pair{Status::success, "STATUS_SUCCESS"},
      std::pair{Status::pending, "STATUS_PENDING"},
      std::pair{Status::buffer_overflow, "STATUS_BUFFER_OVERFLOW"},
      std::pair{Status::invalid_parameter, "STATUS_INVALID_PARAMETER"},
      std::pair{Status::end_of_file, "STATUS_END_OF_FILE"},
      std::pair{Status::more_processing, "STATUS_MORE_PROCESSING_REQUIRED"},
      std::pair{Status::access_denied, "STATUS_ACCESS_DENIED"},
      std::pair{Status::object_name_not_found, "STATUS_OBJECT_NAME_NOT_FOUND"},
      std::pair{Status::logon_failure, "STATUS_LOGON_FAILURE"},
      std::pair{Status::pipe_not_available, "STATUS_PIPE_NOT_AVAILABLE"},
      std::pair{Status::pipe_busy, "STATUS_PIPE_BUSY"},
      std::pair{Status::pipe_disconnected, "STATUS_PIPE_DISCONNECTED"},
      std::pair{Status::io_timeout, "STATUS_IO_TIMEOUT"},
      std::pair{Status::not_supported, "STATUS_NOT_SUPPORTED"},
      std::pair{Status::bad_network_name, "STATUS_BAD_NETWORK_NAME"},
      std::pair{Status::cancelled, "STATUS_CANCELLED"},
      std::pair{Status::file_closed, "STATUS_FILE_CLOSED"},
      std::pair{Status::pipe_broken, "STATUS_PIPE_BROKEN"},
      std::pair{Status::network_session_expired, "STATUS_NETWORK_SESSION_EXPIRED"},
  };
  for (const auto &[value, name] : names)
    if (value == status) return name;
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", std::to_underlying(status));
  return text.data();
}

} // namespace shim::smb

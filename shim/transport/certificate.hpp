// The certificate that the client leg shows when none is configured: our own, made once.
#pragma once

#include <expected>
#include <filesystem>
#include <string>

namespace shim {

struct OwnCertificate {
  std::filesystem::path certificate, key; ///< PEM
  bool made = false;                      ///< by this call
  std::string reason;                     ///< if it was made: "there was none", "expired", …
  std::string fingerprint;                ///< SHA-256 of the certificate, hex
};

/// `state_directory`/listener.pem and listener-key.pem: self-signed, RSA 2048, ten years, for localhost,
/// 127.0.0.1, ::1 and this machine's host name. Made if there is none, and again if it has expired, or key
/// and certificate do not fit; otherwise the one that is there. The folder is made with mode 0700, the files
/// with 0600. Two processes at once get the same one. Blocking: at start. Error: which file, and why not.
std::expected<OwnCertificate, std::string> own_certificate(const std::filesystem::path &state_directory);

} // namespace shim

#include "tools/lab/peer/encryption.hpp"

namespace lab {
namespace {

using tds::Encryption;

Encryption answer_to(std::string_view encrypt, Encryption asked) {
  const bool wanted = asked == Encryption::on || asked == Encryption::req;
  if (encrypt == "off") return Encryption::not_sup;
  if (encrypt == "require") return wanted ? Encryption::on : Encryption::req;
  if (asked == Encryption::not_sup) return Encryption::not_sup;
  return wanted && encrypt != "login" ? Encryption::on : Encryption::off;
}

std::optional<TlsMode> mode_of(Encryption asked, Encryption answered) {
  const bool insists = answered == Encryption::on || answered == Encryption::req;
  if (asked == Encryption::not_sup && insists) return {};
  if (asked == Encryption::not_sup || answered == Encryption::not_sup) return TlsMode::clear;
  return insists ? TlsMode::full : TlsMode::login;
}

} // namespace

std::string to_string(TlsMode mode) {
  switch (mode) {
  case TlsMode::clear:
    return "clear";
  case TlsMode::login:
    return "login";
  case TlsMode::full:
    return "full";
  case TlsMode::strict:
    return "strict";
  }
  return {};
}

Agreed agree(std::string_view encrypt, std::optional<Encryption> asked, std::optional<Encryption> forced) {
  const auto wish = asked.value_or(Encryption::not_sup); // a client without the option has no TLS
  if (encrypt == "strict") {
    // TLS stands already. OFF would mislead: JDBC then takes it for login-only TLS.
    const auto usual = wish == Encryption::not_sup ? Encryption::not_sup : Encryption::on;
    return {forced.value_or(usual), TlsMode::strict};
  }
  const auto answer = forced.value_or(answer_to(encrypt, wish));
  return {answer, mode_of(wish, answer)};
}

} // namespace lab

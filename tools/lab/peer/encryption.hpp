// What PRELOGIN's ENCRYPTION option comes to, as SQL Server decides it (MS-TDS 2.2.6.5). Pure.
#pragma once

#include "tds/prelogin.hpp"

namespace lab {

/// How much of a connection TLS covers.
enum class TlsMode {
  clear,
  login,  ///< the first TDS packet of LOGIN7, nothing before it and nothing after it
  full,   ///< all from LOGIN7 on
  strict, ///< TDS 8.0: all, PRELOGIN too
};
std::string to_string(TlsMode mode);

struct Agreed {
  tds::Encryption answer = tds::Encryption::not_sup;
  std::optional<TlsMode> mode; ///< none: the two cannot agree, the server closes after its answer
};

/// `encrypt` is the server's setting: off, login, on, require or strict. `asked`: what the client sent; none
/// where it sent no such option. `forced` is said whatever was asked, and taken as meant.
Agreed agree(std::string_view encrypt, std::optional<tds::Encryption> asked,
             std::optional<tds::Encryption> forced = {});

} // namespace lab

// What a client is told that is refused. Pure.
#pragma once

#include "shim/diagnosis/client_text.hpp"
#include "tds/login7.hpp"
#include "tds/prelogin.hpp"
#include "tds/token.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shim {

/// How a refusal reaches a client, as its login stands.
struct Answer {
  bool possible = true; ///< false: it could not read one now
  tds::Dialect dialect{};
  bool unread = false;                   ///< nothing of it has been read: its PRELOGIN is answered unseen
  bool short_texts = false;              ///< see `under_odbc`
  std::uint32_t number = refusal_number; ///< see `final_number`
};

/// A TDS ERROR that names cause, remedy and connection id. `shown`: the VERSION that an unread PRELOGIN is
/// answered with. `errors`: what the server itself has said, where it is the server that refuses: that comes
/// first, unchanged, and ours has the number, class and state of its last ERROR. So a driver does as it would
/// without us, whether it goes by the first ERROR (most) or by the last (tedious).
tds::Bytes refusal_bytes(const Diagnosis &diagnosis, const std::string &conn, const Answer &answer,
                         const tds::ServerVersion &shown, std::span<const tds::ServerMessage> errors = {});

/// The number that the client's library takes for its last word. Microsoft's JDBC driver repeats a login
/// without end (32 times in 30 s) but for those that it knows, of which 18456 is one.
std::uint32_t final_number(const tds::Login7 &login);

/// Whether the client may be one under unixODBC, which shows short texts only: Microsoft's driver says so,
/// FreeTDS's says nothing; every other library has a name.
bool under_odbc(const tds::Login7 &login);

/// The text in pieces of at most `most` bytes, parted at blanks where that is possible, and
/// never within a character.
std::vector<std::string> in_parts(std::string_view text, std::size_t most);

} // namespace shim

#include "shim/refusal.hpp"

#include "tds/packet.hpp"
#include "tds/prelogin.hpp"

namespace shim {
namespace {

/// unixODBC 2.3.11's SQLDriverConnect never returns from a long message: FreeTDS's of 555 bytes are
/// well, of 612 not. And isql shows 499 bytes, of which FreeTDS's own prefix is 21 and what stands
/// behind the first part 34.
constexpr std::size_t odbc_text = 440;

tds::ServerMessage error_of(std::string_view text) {
  tds::ServerMessage message;
  message.number = refusal_number;
  message.severity = refusal_class;
  message.state = 1;
  message.text = tds::to_utf16(text);
  message.server = u"sqlshim";
  return message;
}

} // namespace

tds::Bytes refusal_bytes(const Diagnosis &diagnosis, const std::string &conn, const Answer &answer,
                         const tds::ServerVersion &shown) {
  const auto text = client_text(diagnosis, conn);
  auto parts = answer.short_texts ? in_parts(text, odbc_text) : std::vector{text};
  if (parts.size() > 1) parts.front() += " ... (sqlshim connection " + conn + ")"; // all that pyodbc shows
  std::vector<tds::ServerMessage> messages;
  for (const auto &part : parts)
    messages.push_back(error_of(part));
  tds::Bytes bytes;
  if (answer.unread) {
    // The client waits for the answer to its PRELOGIN; without one it could not read the ERROR.
    tds::Prelogin told;
    told.set_version(shown);
    told.set_encryption(tds::Encryption::not_sup);
    bytes = tds::encode_message(tds::PacketType::reply, tds::encode_prelogin(told));
  }
  const auto error = tds::encode_refusal(answer.dialect, messages);
  bytes.insert(bytes.end(), error.begin(), error.end());
  return bytes;
}

bool under_odbc(const tds::Login7 &login) {
  return login.clt_int_name.empty() || tds::to_utf8(login.clt_int_name).contains("ODBC");
}

std::vector<std::string> in_parts(std::string_view text, std::size_t most) {
  std::vector<std::string> parts;
  while (text.size() > most) {
    auto end = text.rfind(' ', most);
    if (end == text.npos || end == 0)
      for (end = most; end > most - 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80;)
        --end;
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(text[end] == ' ' ? end + 1 : end);
  }
  if (!text.empty() || parts.empty()) parts.emplace_back(text);
  return parts;
}

} // namespace shim

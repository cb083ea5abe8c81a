#include "shim/refusal.hpp"

#include "shim/diagnosis/client_text.hpp"
#include "tds/packet.hpp"
#include "tds/prelogin.hpp"

#include <algorithm>

namespace shim {
namespace {

/// unixODBC 2.3.11's SQLDriverConnect never returns from a long message: FreeTDS's of 555 bytes are
/// well, of 612 not. And isql shows 499 bytes, of which FreeTDS's own prefix is 21 and what stands
/// behind the first part 34.
constexpr std::size_t odbc_text = 440;

/// Ours, but for the text.
tds::ServerMessage error_like(std::span<const tds::ServerMessage> errors, std::uint32_t number) {
  tds::ServerMessage message;
  message.number = number;
  message.severity = refusal_class;
  message.state = 1;
  if (!errors.empty()) {
    const auto last = std::ranges::find_if(errors.rbegin(), errors.rend(),
                                           [](const auto &said) { return said.severity > 10; });
    const auto &refusing = last == errors.rend() ? errors.back() : *last;
    message.number = refusing.number;
    message.severity = refusing.severity;
    message.state = refusing.state;
  }
  message.server = u"sqlshim";
  return message;
}

} // namespace

tds::Bytes refusal_bytes(const Diagnosis &diagnosis, const std::string &conn, const Answer &answer,
                         const tds::ServerVersion &shown, std::span<const tds::ServerMessage> errors) {
  const auto text = client_text(diagnosis, conn);
  auto parts = answer.short_texts ? in_parts(text, odbc_text) : std::vector{text};
  if (parts.size() > 1) parts.front() += " ... (sqlshim connection " + conn + ")"; // all that pyodbc shows
  std::vector<tds::ServerMessage> messages(errors.begin(), errors.end());
  auto ours = error_like(errors, answer.number);
  for (const auto &part : parts) {
    ours.text = tds::to_utf16(part);
    messages.push_back(ours);
  }
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

std::uint32_t final_number(const tds::Login7 &login) {
  constexpr std::uint32_t login_failed = 18456;
  return tds::to_utf8(login.clt_int_name).starts_with("Microsoft JDBC Driver") ? login_failed
                                                                               : refusal_number;
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

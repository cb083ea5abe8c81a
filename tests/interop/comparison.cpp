#include "tests/interop/comparison.hpp"

#include "tds/packet.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sstream>

namespace interop {
namespace {

constexpr std::uint8_t smp = 0x53; // MC-SMP 2.2.1: SMID, FLAGS, SID, LENGTH, SEQNUM, WNDW
constexpr std::size_t smp_header = 16;
constexpr std::uint8_t unreadable = 0xFF;
constexpr std::size_t shown = 120; // bytes of a payload in a description

/// Not compared: who logs in and how, the name by which the client knows the server, and bits that the
/// login's kind sets (fIntSecurity of OptionFlags2).
constexpr const char *authentication[] = {"user", "password_sent", "integrated", "sspi_size", "server"};
constexpr std::uint8_t integrated_flag = 0x80;

std::string escaped(tds::ByteView bytes) {
  std::string text;
  for (const auto byte : bytes)
    if (byte == 0)
      text += "\\0";
    else if (byte >= 0x20 && byte < 0x7F && byte != '\\')
      text += static_cast<char>(byte);
    else
      text += fmt::format("\\x{:02x}", byte);
  return text;
}

std::string type_name(std::uint8_t type) {
  using tds::PacketType;
  if (type == unreadable) return "unreadable";
  if (type == smp) return "SMP";
  switch (static_cast<PacketType>(type)) {
  case PacketType::sql_batch:
    return "batch";
  case PacketType::rpc:
    return "rpc";
  case PacketType::attention:
    return "attention";
  case PacketType::bulk:
    return "bulk";
  case PacketType::transaction_manager:
    return "transaction";
  default:
    return fmt::format("type 0x{:02x}", type);
  }
}

bool of_login(std::uint8_t type) {
  using tds::PacketType;
  for (const auto known : {PacketType::prelogin, PacketType::login7, PacketType::sspi})
    if (static_cast<PacketType>(type) == known) return true;
  return false;
}

std::uint32_t u32(tds::ByteView bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;)
    value = value << 8 | bytes[at + i];
  return value;
}

/// The transaction descriptor of ALL_HEADERS (MS-TDS 2.2.5.3.2), where these bytes begin with such a header:
/// zeros stay, else it becomes ones.
void mask_transaction(tds::Bytes &payload) {
  constexpr std::size_t headers = 22, header = 18, descriptor = 10;
  if (payload.size() < headers || u32(payload, 0) != headers || u32(payload, 4) != header ||
      payload[8] != 2 || payload[9] != 0)
    return;
  const auto from = payload.begin() + descriptor;
  if (std::any_of(from, from + 8, [](auto byte) { return byte != 0; }))
    std::fill(from, from + 8, std::uint8_t{1});
}

/// Reads packets one after the other; what is behind the last whole one is unreadable.
std::vector<Message> messages_in(tds::ByteView bytes, int session) {
  std::vector<Message> messages;
  std::optional<Message> message;
  while (!bytes.empty()) {
    const auto header =
        tds::decode_packet_header(bytes.first(std::min(bytes.size(), tds::packet_header_size)));
    if (!header || header->length > bytes.size()) {
      messages.push_back({session, unreadable, {}, {bytes.begin(), bytes.end()}});
      return messages;
    }
    if (!message) message = Message{session, static_cast<std::uint8_t>(header->type), {}, {}};
    message->status.push_back(header->status);
    const auto payload = bytes.first(header->length).subspan(tds::packet_header_size);
    message->payload.insert(message->payload.end(), payload.begin(), payload.end());
    bytes = bytes.subspan(header->length);
    if (!(header->status & tds::status_eom)) continue;
    mask_transaction(message->payload);
    messages.push_back(*std::exchange(message, std::nullopt));
  }
  if (message) messages.push_back({session, unreadable, message->status, message->payload});
  return messages;
}

/// Frames of MARS: what each session said, one session after the other. ACK frames are not looked at, since
/// the pace of reading decides on them.
std::vector<Message> mars_messages(tds::ByteView bytes) {
  std::map<int, tds::Bytes> streams;
  std::vector<Message> messages;
  while (bytes.size() >= smp_header && bytes[0] == smp) {
    const auto flags = bytes[1];
    const int session = bytes[2] | bytes[3] << 8;
    const auto length = u32(bytes, 4);
    if (length < smp_header || length > bytes.size()) break;
    const auto data = bytes.first(length).subspan(smp_header);
    auto &stream = streams[session];
    stream.insert(stream.end(), data.begin(), data.end());
    constexpr std::uint8_t syn = 0x01, fin = 0x04;
    if (flags & (syn | fin)) messages.push_back({session, smp, {flags}, {}});
    bytes = bytes.subspan(length);
  }
  for (const auto &[session, stream] : streams)
    std::ranges::copy(messages_in(stream, session), std::back_inserter(messages));
  if (!bytes.empty()) messages.push_back({-1, unreadable, {}, {bytes.begin(), bytes.end()}});
  return messages;
}

std::map<std::string, std::string> login_of(const nlohmann::json &facts) {
  std::map<std::string, std::string> fields;
  if (!facts.contains("login7")) return fields;
  for (const auto &[name, value] : facts["login7"].items()) {
    if (std::ranges::find(authentication, name) != std::end(authentication)) continue;
    if (name == "pid") continue; // of another process: the programme prints whether it is its own
    if (name == "option_flags")
      fields[name] = nlohmann::json({value[0], value[1].get<int>() & ~integrated_flag, value[2]}).dump();
    else
      fields[name] = value.dump();
  }
  return fields;
}

template <class Seen, class Show>
void compare_lists(Compared &compared, const std::string &where, const std::string &what,
                   const std::vector<Seen> &direct, const std::vector<Seen> &through, Show show) {
  ++compared.comparisons;
  if (direct.size() != through.size())
    compared.differences.push_back(
        fmt::format("{}: {} {}s direct, {} through sqlshim", where, direct.size(), what, through.size()));
  for (std::size_t i = 0; i < std::max(direct.size(), through.size()); ++i) {
    ++compared.comparisons;
    if (i < direct.size() && i < through.size() && direct[i] == through[i]) continue;
    compared.differences.push_back(fmt::format("{}, {} {}\n  direct:  {}\n  through: {}", where, what, i + 1,
                                               show(direct, through, i), show(through, direct, i)));
  }
}

std::string show_line(const std::vector<std::string> &lines, const std::vector<std::string> &,
                      std::size_t i) {
  return i < lines.size() ? lines[i] : "(none)";
}

std::string show_message(const std::vector<Message> &messages, const std::vector<Message> &others,
                         std::size_t i) {
  if (i >= messages.size()) return "(none)";
  std::size_t mark = 0;
  if (i < others.size())
    mark = static_cast<std::size_t>(std::ranges::mismatch(messages[i].payload, others[i].payload).in1 -
                                    messages[i].payload.begin());
  return describe(messages[i], mark);
}

} // namespace

Steps steps_of(const std::string &output) {
  Steps steps;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view prefix = "step ";
    const auto colon = line.find(": ");
    if (!line.starts_with(prefix) || colon == line.npos) continue;
    steps[line.substr(prefix.size(), colon - prefix.size())].push_back(line.substr(colon + 2));
  }
  return steps;
}

std::string describe(const Message &message, std::size_t mark) {
  const tds::ByteView payload = message.payload;
  const auto from =
      payload.size() <= shown || mark < shown / 2 ? 0 : std::min(mark - shown / 2, payload.size() - shown);
  const auto part = payload.subspan(from, std::min(shown, payload.size() - from));
  return fmt::format("{}{}, {} packet(s), {} bytes: {}{}{}",
                     message.session < 0 ? "" : fmt::format("session {}, ", message.session),
                     type_name(message.type), message.status.size(), payload.size(), from ? "…" : "",
                     escaped(part), from + part.size() < payload.size() ? "…" : "");
}

std::vector<Message> messages_of(tds::ByteView received) {
  while (received.size() >= tds::packet_header_size && of_login(received[0])) {
    const auto length = tds::decode_packet_header(received.first(tds::packet_header_size))->length;
    received = received.subspan(std::min<std::size_t>(length, received.size()));
  }
  return !received.empty() && received[0] == smp ? mars_messages(received) : messages_in(received, -1);
}

Connection connection_of(int number, const std::string &received, const nlohmann::json &facts) {
  return {number, login_of(facts),
          messages_of({reinterpret_cast<const std::uint8_t *>(received.data()), received.size()})};
}

Compared &Compared::operator+=(const Compared &other) {
  comparisons += other.comparisons;
  differences.insert(differences.end(), other.differences.begin(), other.differences.end());
  return *this;
}

Compared compare(const std::string &where, const Trace &direct, const Trace &through) {
  Compared compared;
  compare_lists(compared, where, "line", direct.lines, through.lines, show_line);
  ++compared.comparisons;
  if (direct.connections.size() != through.connections.size())
    compared.differences.push_back(fmt::format("{}: {} connections direct, {} through sqlshim", where,
                                               direct.connections.size(), through.connections.size()));
  const auto sorted = [](std::vector<Connection> connections) {
    if (connections.size() > 5)
      std::ranges::sort(connections, {}, &Connection::messages); // at once: any may be first
    return connections;
  };
  const auto left = sorted(direct.connections), right = sorted(through.connections);
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    const auto place = fmt::format("{}, connection {}", where, i + 1);
    compare_lists(compared, place, "message", left[i].messages, right[i].messages, show_message);
    for (const auto &[name, value] : left[i].login) {
      ++compared.comparisons;
      const auto other = right[i].login.find(name);
      const auto seen = other == right[i].login.end() ? "(none)" : other->second;
      if (seen != value)
        compared.differences.push_back(
            fmt::format("{}, LOGIN7 {}\n  direct:  {}\n  through: {}", place, name, value, seen));
    }
  }
  return compared;
}

} // namespace interop

#include "tds/ssrp.hpp"

#include <algorithm>
#include <charconv>

namespace tds {
namespace {

constexpr std::uint8_t bcast_ex = 0x02, ucast_ex = 0x03, ucast_inst = 0x04, svr_resp = 0x05;

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}
bool same(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, {}, lower, lower);
}

/// In a message a name ends at NUL or ';'; a control character has no place in one.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= longest_instance &&
         std::ranges::none_of(
             text, [](unsigned char letter) { return letter < 0x20 || letter == 0x7F || letter == ';'; });
}

Error wrong(std::string field, std::string what, std::size_t offset) {
  return {"SVR_RESP", std::move(field), std::move(what), offset};
}

} // namespace

Result<Bytes> encode_ssrp_question(std::string_view instance) {
  if (!is_name(instance))
    return std::unexpected(Error{"CLNT_UCAST_INST", "INSTANCENAME", "is no name of 1 to 32 characters", 1});
  Bytes bytes{ucast_inst};
  bytes.insert(bytes.end(), instance.begin(), instance.end());
  bytes.push_back(0);
  return bytes;
}

Result<SsrpInstance> decode_ssrp_answer(ByteView datagram, std::string_view instance) {
  Reader reader(datagram, "SVR_RESP");
  Fields in(reader);
  if (in.u8("SVR_RESP") != svr_resp) in.reject("SVR_RESP", "is another message");
  const auto size = in.u16_le("RESP_SIZE");
  if (size > largest_ssrp_answer) in.reject("RESP_SIZE", "is more than 1024");
  if (in.ok() && size != reader.left()) in.reject("RESP_SIZE", "is not what follows");
  const auto data = in.take(size, "RESP_DATA");
  if (!in.ok()) return in.finish(SsrpInstance{});

  std::string_view text(reinterpret_cast<const char *>(data.data()), data.size());
  SsrpInstance answer;
  const auto all = text.size();
  constexpr std::size_t before_data = 3;
  const auto offset = [&] { return before_data + all - text.size(); };
  const auto next = [&]() -> std::optional<std::string_view> {
    const auto end = text.find(';');
    if (end == text.npos) return std::nullopt;
    const auto part = text.substr(0, end);
    text.remove_prefix(end + 1);
    return part;
  };
  for (;;) {
    const auto at = offset();
    const auto key = next();
    if (!key) return std::unexpected(wrong("RESP_DATA", "does not end with ;;", at));
    if (key->empty()) break;
    const auto value = next();
    if (!value) return std::unexpected(wrong("RESP_DATA", "has a name without a value", at));
    if (same(*key, "ServerName")) answer.server = *value;
    if (same(*key, "InstanceName")) answer.instance = *value;
    if (same(*key, "Version")) answer.version = *value;
    if (same(*key, "IsClustered")) answer.clustered = same(*value, "yes");
    if (same(*key, "np")) answer.pipe = *value;
    if (same(*key, "tcp")) {
      std::uint16_t port = 0;
      const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), port);
      if (error != std::errc() || end != value->data() + value->size() || port == 0)
        return std::unexpected(wrong("tcp", "is no port", at));
      answer.port = port;
    }
  }
  if (!same(answer.instance, instance))
    return std::unexpected(
        wrong("InstanceName", "is another instance than the one that was asked for", before_data));
  return answer;
}

Result<SsrpQuestion> decode_ssrp_question(ByteView datagram) {
  Reader reader(datagram, "SSRP");
  Fields in(reader);
  const auto kind = in.u8("message");
  if (in.ok() && (kind == bcast_ex || kind == ucast_ex)) return SsrpQuestion(AskAll{});
  if (in.ok() && kind != ucast_inst) in.reject("message", "is none that is answered");
  if (!in.ok()) return in.finish(SsrpQuestion{});
  const auto rest = reader.rest();
  const std::string name(rest.begin(), std::ranges::find(rest, std::uint8_t{0}));
  if (!is_name(name))
    return std::unexpected(reader.error("INSTANCENAME", "is no name of 1 to 32 characters"));
  return SsrpQuestion(AskInstance{name});
}

Bytes encode_ssrp_answer(const std::vector<SsrpInstance> &instances) {
  constexpr std::size_t most = 0xFFFF; // RESP_SIZE has two bytes
  std::string data;
  for (const auto &instance : instances) {
    auto one = "ServerName;" + instance.server + ";InstanceName;" + instance.instance + ";IsClustered;" +
               (instance.clustered ? "Yes" : "No") + ";Version;" + instance.version;
    if (!instance.pipe.empty()) one += ";np;" + instance.pipe;
    if (instance.port) one += ";tcp;" + std::to_string(*instance.port);
    one += ";;";
    if (data.size() + one.size() > most) break;
    data += one;
  }
  Writer out;
  out.u8(svr_resp);
  out.u16_le(static_cast<std::uint16_t>(data.size()));
  out.append({reinterpret_cast<const std::uint8_t *>(data.data()), data.size()});
  return std::move(out).bytes();
}

} // namespace tds

#include "tools/lab/peer/peer_options.hpp"

#include "tools/lab/files.hpp"

#include <array>
#include <nlohmann/json.hpp>

namespace lab {
namespace {

using nlohmann::json;

template <class T> using Names = std::vector<std::pair<T, const char *>>;

const Names<Moment> moments = {{Moment::never, "never"},
                               {Moment::accepted, "accepted"},
                               {Moment::prelogin, "prelogin"},
                               {Moment::prelogin_answered, "prelogin_answered"},
                               {Moment::tls, "tls"},
                               {Moment::login, "login"},
                               {Moment::sspi_answered, "sspi_answered"}};
const Names<tds::Encryption> encryptions = {{tds::Encryption::off, "off"},
                                            {tds::Encryption::on, "on"},
                                            {tds::Encryption::not_sup, "not_sup"},
                                            {tds::Encryption::req, "req"}};

template <class T> std::string name_of(const Names<T> &names, T value) {
  for (const auto &[candidate, name] : names)
    if (candidate == value) return name;
  return {};
}
template <class T> T value_of(const Names<T> &names, const std::string &name) {
  for (const auto &[value, candidate] : names)
    if (name == candidate) return value;
  throw LabError("peer options: there is no \"" + name + "\"");
}

// One walk over the fields serves both directions, so that they cannot disagree.
template <class Options, class Visitor> void each_field(Options &o, Visitor &&field) {
  field("address", o.address);
  field("port", o.port);
  field("keytab", o.keytab);
  field("records", o.records);
  field("pipe", o.pipe);
  field("server_name", o.server_name);
  field("instance", o.instance);
  field("spn_host", o.spn_host);
  field("encrypt", o.encrypt);
  field("certificate", o.certificate);
  field("key", o.key);
  field("tls_min", o.tls_min);
  field("tls_max", o.tls_max);
  field("epa", o.epa);
  field("logins", o.logins);
  field("principals", o.principals);
  field("accounts", o.accounts);
  field("ntlm", o.ntlm);
  field("ntlm_timestamp", o.ntlm_timestamp);
  field("domains", o.domains);
  field("databases", o.databases);
  field("close_at", o.close_at);
  field("hang_at", o.hang_at);
  field("encryption", o.encryption);
  field("tls_in_replies", o.tls_in_replies);
  field("tls_garbage", o.tls_garbage);
  field("refuse_mars", o.refuse_mars);
  field("native_errors", o.native_errors);
  field("omit_sspi_token", o.omit_sspi_token);
  field("unknown_token", o.unknown_token);
  field("early_garbage", o.early_garbage);
  field("login_error", o.login_error);
  field("route", o.route);
  field("partner", o.partner);
  field("login_delay", o.login_delay);
}

json encode(const std::filesystem::path &value) { return value.string(); }
json encode(Moment value) { return name_of(moments, value); }
json encode(tds::Encryption value) { return name_of(encryptions, value); }
json encode(std::chrono::milliseconds value) { return value.count(); }
json encode(const LoginError &value) {
  return {
      {"number", value.number}, {"state", value.state}, {"severity", value.severity}, {"text", value.text}};
}
json encode(const RouteTo &value) {
  return {{"server", value.server},
          {"port", value.port},
          {"enhanced", value.enhanced},
          {"database", value.database},
          {"without_loginack", value.without_loginack}};
}
template <class T> json encode(const T &value) { return value; }
template <class T> json encode(const std::optional<T> &value) { return value ? encode(*value) : json(); }

void decode(const json &from, std::filesystem::path &value) { value = from.get<std::string>(); }
void decode(const json &from, Moment &value) { value = value_of(moments, from.get<std::string>()); }
void decode(const json &from, tds::Encryption &value) {
  value = value_of(encryptions, from.get<std::string>());
}
void decode(const json &from, std::chrono::milliseconds &value) {
  value = std::chrono::milliseconds(from.get<std::int64_t>());
}
void decode(const json &from, LoginError &value) {
  value = {.number = from.at("number"),
           .state = from.value("state", std::uint8_t{1}),
           .severity = from.value("severity", std::uint8_t{14}),
           .text = from.value("text", std::string())};
}
void decode(const json &from, RouteTo &value) {
  value = {.server = from.at("server"),
           .port = from.at("port"),
           .enhanced = from.value("enhanced", false),
           .database = from.value("database", std::string()),
           .without_loginack = from.value("without_loginack", false)};
}
template <class T> void decode(const json &from, T &value) { from.get_to(value); }
template <class T> void decode(const json &from, std::optional<T> &value) {
  value.reset();
  if (!from.is_null()) decode(from, value.emplace());
}

} // namespace

void to_json(json &json, const PeerOptions &options) {
  each_field(options, [&](const char *name, const auto &value) { json[name] = encode(value); });
}

void from_json(const json &json, PeerOptions &options) {
  std::size_t known = 0;
  each_field(options, [&](const char *name, auto &value) {
    const auto found = json.find(name);
    if (found == json.end()) return;
    ++known;
    decode(*found, value);
  });
  if (known != json.size()) throw LabError("peer options: an unknown key in " + json.dump());
}

} // namespace lab

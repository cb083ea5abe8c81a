#include "tools/lab/peer/login_reply.hpp"

#include "tools/lab/peer/sql/reply.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

constexpr std::uint8_t token_that_does_not_exist = 0x99;

tds::EnvChange text_change(tds::EnvChangeType type, std::string_view fresh, std::string_view old) {
  tds::Writer data;
  append_b_varchar(data, fresh);
  append_b_varchar(data, old);
  return {type, std::move(data).bytes()};
}

tds::EnvChange collation_change() {
  tds::Writer data;
  data.u8(sizeof collation);
  data.append(collation);
  data.u8(0);
  return {tds::EnvChangeType::collation, std::move(data).bytes()};
}

/// MS-TDS 2.2.7.9, type 20; 21 has a database after the name.
tds::EnvChange routing_change(const RouteTo &route) {
  tds::Writer value;
  value.u8(0); // TCP
  value.u16_le(route.port);
  const auto text = [&](const std::string &utf8) {
    const auto units = tds::to_utf16(utf8);
    value.u16_le(static_cast<std::uint16_t>(units.size()));
    value.utf16(units);
  };
  text(route.server);
  if (route.enhanced) text(route.database);
  tds::Writer data;
  data.u16_le(static_cast<std::uint16_t>(value.size()));
  data.append(value.bytes());
  data.u16_le(0); // the old value
  return {route.enhanced ? tds::EnvChangeType::enhanced_routing : tds::EnvChangeType::routing,
          std::move(data).bytes()};
}

/// What the client asked for and a server without special powers can grant. Not COLUMNENCRYPTION, which
/// changes COLMETADATA, and not SESSIONRECOVERY: the peer could not restore a session. SQL Server's order is
/// its own affair; here it differs from login to login.
tds::FeatureExtAck granted_features(const Session &session, const tds::Login7 &login) {
  tds::FeatureExtAck ack;
  if (login.find(tds::FeatureId::utf8_support))
    ack.features.push_back({tds::FeatureId::utf8_support, {0x01}});
  if (const auto *asked = login.find(tds::FeatureId::data_classification); asked && !asked->data.empty()) {
    const auto version = std::clamp<std::uint8_t>(asked->data[0], 1, 2);
    ack.features.push_back(
        {tds::FeatureId::data_classification, {version, 0x01}}); // enabled, and nothing is classified
  }
  if (login.find(tds::FeatureId::azure_dns_caching))
    ack.features.push_back({tds::FeatureId::azure_dns_caching, {0x00}});
  if (!ack.features.empty())
    std::ranges::rotate(ack.features, ack.features.begin() +
                                          static_cast<std::ptrdiff_t>(session.spid % ack.features.size()));
  return ack;
}

tds::Bytes refusal(const Session &session, std::initializer_list<tds::ServerMessage> messages) {
  std::vector<tds::Token> tokens(messages.begin(), messages.end());
  tokens.push_back(tds::Done{tds::DoneKind::done, tds::done_error, 0, 0});
  return tds::encode_tokens(tokens, session.version);
}

} // namespace

Session open_session(const tds::Login7 &login, const PeerOptions &options) {
  Session session;
  session.version = login.tds_version;
  session.host_name = tds::to_utf8(login.host_name);
  session.app_name = tds::to_utf8(login.app_name);
  session.client_interface = tds::to_utf8(login.clt_int_name);
  session.client_pid = login.client_pid;
  session.server_name = options.server_name;
  session.database = tds::to_utf8(login.database);
  if (session.database.empty() && !options.databases.empty()) session.database = options.databases.front();
  // MS-TDS 2.2.6.4: 0 leaves it to the server; anything outside 512 to 32,767 is answered with the default.
  const bool usable = login.packet_size >= 512 && login.packet_size <= tds::largest_packet_size;
  session.packet_size = usable ? login.packet_size : 4096;
  return session;
}

std::string windows_name(const std::string &principal, const PeerOptions &options) {
  const auto at = principal.rfind('@');
  if (at == principal.npos) return principal;
  const auto domain = options.domains.find(principal.substr(at + 1));
  return (domain == options.domains.end() ? principal.substr(at + 1) : domain->second) + "\\" +
         principal.substr(0, at);
}

tds::Bytes login_accepted(const Session &session, const tds::Login7 &login, const PeerOptions &options) {
  const auto size = std::to_string(session.packet_size);
  tds::Writer out;
  const auto token = [&](const tds::Token &next) { tds::encode_token(out, next, session.version); };
  if (options.route && options.route->without_loginack) {
    token(routing_change(*options.route));
    token(tds::Done{});
    return std::move(out).bytes();
  }
  if (options.unknown_token) out.u8(token_that_does_not_exist);
  token(text_change(tds::EnvChangeType::database, session.database, "master"));
  token(server_message(session, 5701, 10, fmt::format("Changed database context to '{}'.", session.database),
                       2));
  if (session.version.generation() >= 71) token(collation_change());
  token(text_change(tds::EnvChangeType::language, "us_english", ""));
  token(server_message(session, 5703, 10, "Changed language setting to us_english."));
  token(tds::LoginAck{1, session.version, u"Microsoft SQL Server", {16, 0, 0x03, 0xE8}});
  token(text_change(tds::EnvChangeType::packet_size, size, size));
  if (const auto ack = granted_features(session, login);
      session.version.generation() >= 74 && !ack.features.empty())
    token(ack);
  if (!options.partner.empty())
    token(text_change(tds::EnvChangeType::mirroring_partner, options.partner, ""));
  if (options.route) token(routing_change(*options.route));
  token(tds::Done{});
  return std::move(out).bytes();
}

tds::Bytes login_denied(const Session &session, const std::string &name, const std::string &database) {
  const auto denied = server_message(session, 18456, 14, fmt::format("Login failed for user '{}'.", name));
  if (database.empty()) return refusal(session, {denied});
  const auto text =
      fmt::format("Cannot open database \"{}\" requested by the login. The login failed.", database);
  return refusal(session, {server_message(session, 4060, 11, text), denied});
}

tds::Bytes login_untrusted(const Session &session) {
  constexpr auto text =
      "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.";
  return refusal(session, {server_message(session, 18452, 14, text)});
}

tds::Bytes login_failed(const Session &session, const LoginError &error) {
  return refusal(session, {server_message(session, error.number, error.severity, error.text, error.state)});
}

} // namespace lab

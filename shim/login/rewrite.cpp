#include "shim/login/rewrite.hpp"

#include "tds/sspi.hpp"

#include <algorithm>

namespace shim {

tds::Login7 rewrite(const tds::Login7 &asked, config::Mechanism mechanism, config::Encrypt encrypt) {
  auto login = asked.clone();
  if (login.tds_version == tds::tds_8_0 && encrypt != config::Encrypt::strict)
    login.tds_version = tds::tds_7_4;
  login.sspi.clear(); // the client's own token never goes to the server
  if (mechanism != config::Mechanism::sql) {
    login.option_flags2 |= tds::option2_integrated_security;
    login.option_flags3 &= static_cast<std::uint8_t>(~tds::option3_change_password);
    login.user_name.clear();
    login.password.wipe();
    login.change_password.wipe();
  }
  return login;
}

tds::Prelogin server_prelogin(const tds::LoginRequest &asked, const auth::Target &target) {
  tds::Prelogin prelogin;
  prelogin.set_version({16, 0, 0, 0});
  prelogin.set_encryption(tds::Encryption::not_sup); // its place; the value is the login machine's
  tds::Bytes instance(target.instance.begin(), target.instance.end());
  instance.push_back(0);
  prelogin.set(tds::PreloginToken::instopt, std::move(instance));
  prelogin.set(tds::PreloginToken::threadid, {0, 0, 0, 0});
  prelogin.set_mars(asked.prelogin && asked.prelogin->mars());
  if (asked.prelogin)
    if (const auto *trace = asked.prelogin->find(tds::PreloginToken::traceid))
      prelogin.set(tds::PreloginToken::traceid, trace->data);
  return prelogin;
}

PartnerMap map_partners(tds::ByteView tokens, tds::Version version, const std::string &own) {
  PartnerMap map;
  tds::Reader reader(tokens, "login reply");
  const auto keep = [&](std::size_t from, std::size_t to) {
    map.tokens.insert(map.tokens.end(), tokens.begin() + static_cast<std::ptrdiff_t>(from),
                      tokens.begin() + static_cast<std::ptrdiff_t>(to));
  };
  while (reader.left() > 0) {
    const auto start = reader.offset();
    const auto token = tds::decode_token(reader, version);
    if (!token) {
      keep(start, tokens.size());
      break;
    }
    const auto *change = std::get_if<tds::EnvChange>(&*token);
    if (!change || change->type != tds::EnvChangeType::mirroring_partner) {
      keep(start, reader.offset());
      continue;
    }
    map.partners.push_back(tds::to_utf8(change->new_text()));
    if (own.empty()) continue;
    constexpr std::size_t longest = 255; // units of a B_VARCHAR
    const auto name = tds::to_utf16(own).substr(0, longest);
    tds::Writer out;
    out.u8(static_cast<std::uint8_t>(name.size()));
    out.utf16(name);
    out.u8(0); // the old value
    tds::Writer mapped;
    tds::encode_token(mapped, tds::EnvChange{change->type, std::move(out).bytes()}, version);
    map.tokens.insert(map.tokens.end(), mapped.bytes().begin(), mapped.bytes().end());
  }
  return map;
}

bool sends_password(const config::Route &route) {
  return std::ranges::any_of(route.attempts,
                             [](auto kind) { return kind.mechanism == config::Mechanism::sql; });
}

bool takes_clients_password(const config::Identity *identity) {
  return identity && identity->kind == config::IdentityKind::client;
}

std::string ignored_credentials(const tds::Login7 &asked, config::Mechanism mechanism, bool taken) {
  bool passwords_go_on = mechanism == config::Mechanism::sql;
  std::string what;
  if (!passwords_go_on && !taken && (!asked.user_name.empty() || !asked.password.empty()))
    what = "user and password";
  if (!passwords_go_on && !asked.change_password.empty())
    what += std::string(what.empty() ? "" : ", ") + "new password";
  if (!asked.sspi.empty())
    what += std::string(what.empty() ? "" : ", ") + tds::to_string(tds::recognise(asked.sspi)) + " token (" +
            std::to_string(asked.sspi.size()) + " bytes)";
  return what;
}

} // namespace shim

// What the server is asked, made of any LOGIN7 that a client may send (shim/login/rewrite.hpp): its first
// byte chooses the attempt and the route's encryption, the rest is the client's login; or the server's reply
// to it, whose failover partners are mapped.
#include "shim/login/rewrite.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

bool same(const tds::Secret &a, const tds::Secret &b) { return std::ranges::equal(a.reveal(), b.reveal()); }

/// What no rewriting may touch: by it APP_NAME(), HOST_NAME(), logon triggers and Resource Governor go.
bool same_but_for_authentication(const tds::Login7 &a, const tds::Login7 &b) {
  constexpr auto security = tds::option2_integrated_security;
  constexpr auto change = tds::option3_change_password;
  return a.packet_size == b.packet_size && a.client_prog_ver == b.client_prog_ver &&
         a.client_pid == b.client_pid && a.connection_id == b.connection_id &&
         a.option_flags1 == b.option_flags1 && (a.option_flags2 | security) == (b.option_flags2 | security) &&
         a.type_flags == b.type_flags && (a.option_flags3 | change) == (b.option_flags3 | change) &&
         a.client_time_zone == b.client_time_zone && a.client_lcid == b.client_lcid &&
         a.host_name == b.host_name && a.app_name == b.app_name && a.server_name == b.server_name &&
         a.clt_int_name == b.clt_int_name && a.language == b.language && a.database == b.database &&
         a.client_id == b.client_id && a.attach_db_file == b.attach_db_file &&
         a.has_extension == b.has_extension && a.features == b.features;
}

void map_reply(fuzz::ByteView tokens, bool with_listener) {
  const std::string own = with_listener ? "127.0.0.1,14330" : "";
  // A partner of two bytes becomes the listener's name; what is read of a token is held beside it.
  const auto mapped =
      fuzz::within(8192 + 64 * tokens.size(), [&] { return shim::map_partners(tokens, tds::tds_7_4, own); });
  if (mapped.partners.empty())
    fuzz::require(std::ranges::equal(mapped.tokens, tokens), "a reply without a partner stays as it is");
  const auto again = shim::map_partners(mapped.tokens, tds::tds_7_4, own);
  fuzz::require(again.tokens == mapped.tokens, "mapped once is mapped for good");
  fuzz::require(std::ranges::all_of(again.partners, [&](const auto &name) { return name == own; }),
                "the client hears of no way past us");
}

void make_prelogin(const tds::Login7 &login, fuzz::ByteView trace) {
  tds::LoginRequest asked;
  asked.prelogin.emplace();
  asked.prelogin->set_mars(!trace.empty());
  asked.prelogin->set(tds::PreloginToken::traceid, {trace.begin(), trace.end()});
  asked.login = login.clone();
  const auto prelogin = shim::server_prelogin(asked, *auth::parse_target("sql1\\INST"));
  fuzz::require(prelogin.mars() == asked.prelogin->mars(), "MARS as the client asked");
  const auto *sent = prelogin.find(tds::PreloginToken::traceid);
  fuzz::require(sent && std::ranges::equal(sent->data, trace), "the client's trace id goes on");
}

} // namespace

FUZZ_TARGET(rewrite, tds::largest_login7 + 2) {
  fuzz::Cursor in(input);
  const auto choices = in.u8();
  if (choices & 0x80) return map_reply(in.rest(), choices & 0x1);
  const auto mechanism = static_cast<config::Mechanism>((choices & 0x3) % 3);
  const auto encrypt = choices & 0x4 ? config::Encrypt::strict : config::Encrypt::require;
  const auto asked = tds::decode_login7(in.rest());
  if (!asked) return;
  const auto login = shim::rewrite(*asked, mechanism, encrypt);
  make_prelogin(*asked, input.first(std::min<std::size_t>(input.size(), 36)));
  const bool password_goes_on = mechanism == config::Mechanism::sql;

  fuzz::require(login.sspi.empty(), "the client's own token never goes to the server");
  fuzz::require(same_but_for_authentication(login, *asked), "all but the authentication stays the client's");
  fuzz::require(password_goes_on ||
                    (login.user_name.empty() && login.password.empty() && login.change_password.empty()),
                "no user and no password beside a ticket");
  fuzz::require(password_goes_on || login.integrated_security(), "integrated login says that it is one");
  fuzz::require(!password_goes_on ||
                    (login.user_name == asked->user_name && same(login.password, asked->password) &&
                     same(login.change_password, asked->change_password)),
                "a password that goes on is the client's");
  fuzz::require(login.tds_version == asked->tds_version ||
                    (asked->tds_version == tds::tds_8_0 && login.tds_version == tds::tds_7_4),
                "the client's version, for the results are relayed");
  fuzz::require(encrypt == config::Encrypt::strict || login.tds_version != tds::tds_8_0,
                "TDS 8.0 is for strict servers alone");

  config::Route route;
  route.attempts = {{config::Transport::tcp, mechanism}};
  config::Identity clients;
  clients.kind = config::IdentityKind::client;
  fuzz::require(shim::sends_password(route) == password_goes_on, "a route tells whether passwords go on");
  const bool taken = choices & 0x8;
  fuzz::require(shim::takes_clients_password(taken ? &clients : nullptr) == taken, "so does an identity");
  const auto ignored = shim::ignored_credentials(*asked, mechanism);
  fuzz::require(ignored.empty() ==
                    ((password_goes_on || (asked->user_name.empty() && asked->password.empty() &&
                                           asked->change_password.empty())) &&
                     asked->sspi.empty()),
                "what is not sent on is told, and nothing else");

  const auto bytes = tds::encode_login7(login);
  if (!bytes) {
    fuzz::require(!tds::encode_login7(*asked), "what the client could send can be sent on");
    return;
  }
  const auto sent = tds::decode_login7(*bytes);
  fuzz::require(sent.has_value(), "what is sent is a LOGIN7");
  fuzz::require(same_but_for_authentication(*sent, *asked), "and says what the client said");
  fuzz::require(sent->option_flags2 == login.option_flags2 && sent->option_flags3 == login.option_flags3 &&
                    sent->tds_version == login.tds_version && sent->sspi.empty() &&
                    sent->user_name == login.user_name && same(sent->password, login.password) &&
                    same(sent->change_password, login.change_password),
                "and nothing else");
}

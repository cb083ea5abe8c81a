#include "tools/lab/peer/peer_login.hpp"

#include "tools/lab/peer/login_reply.hpp"

#include "tds/accept_login.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

using nlohmann::json;
using shim::Task;

constexpr tds::ServerVersion shown_version{16, 0, 1000, 0};
constexpr int most_sspi_rounds = 16;
constexpr std::string_view tls_unique = "tls-unique:"; // RFC 5929 3, RFC 5056 2.1

json describe(const tds::Login7 &login) {
  json features = json::array();
  for (const auto &feature : login.features)
    features.push_back({{"id", static_cast<int>(feature.id)}, {"size", feature.data.size()}});
  return {{"tds_version", login.tds_version.text()},
          {"packet_size", login.packet_size},
          {"pid", login.client_pid},
          {"host", tds::to_utf8(login.host_name)},
          {"user", tds::to_utf8(login.user_name)},
          {"password_sent", !login.password.empty()},
          {"app", tds::to_utf8(login.app_name)},
          {"server", tds::to_utf8(login.server_name)},
          {"interface", tds::to_utf8(login.clt_int_name)},
          {"language", tds::to_utf8(login.language)},
          {"database", tds::to_utf8(login.database)},
          {"option_flags", {login.option_flags1, login.option_flags2, login.option_flags3}},
          {"type_flags", login.type_flags},
          {"integrated", login.integrated_security()},
          {"sspi_size", login.sspi.size()},
          {"lcid", login.client_lcid},
          {"features", features}};
}

json describe(const tds::Prelogin &asked, const tds::Prelogin &answered) {
  return {{"asked", tds::describe(asked)}, {"answered", tds::describe(answered)}};
}

json describe(const NtlmAcceptor::Client &client) {
  return {{"user", client.user},
          {"domain", client.domain},
          {"workstation", client.workstation},
          {"target_name", client.target_name},
          {"flags", fmt::format("0x{:08x}", client.flags)},
          {"channel_bound", client.binding == NtlmAcceptor::Binding::equal},
          {"mic", client.mic}};
}

AcceptorOptions acceptor_options(const PeerOptions &options, const tds::Bytes &bindings) {
  AcceptorOptions result{options.keytab, options.native_errors, bindings};
  if (options.ntlm)
    result.ntlm = NtlmOptions{.accounts = options.accounts,
                              .domains = options.domains,
                              .computer = options.server_name,
                              .timestamp = options.ntlm_timestamp};
  return result;
}

/// INSTOPT names an instance, in any case, and it is not `own`.
bool asks_for_another(const tds::Prelogin &asked, const std::string &own) {
  const auto *instopt = asked.find(tds::PreloginToken::instopt);
  if (!instopt) return false;
  const std::string name(instopt->data.begin(), std::ranges::find(instopt->data, std::uint8_t{0}));
  const auto small = [](unsigned char c) { return std::tolower(c); };
  return !name.empty() && !std::ranges::equal(name, own, {}, small, small);
}

TlsManner manner_of(const PeerOptions &options) {
  using Fault = TlsManner::Fault;
  TlsManner manner{.in_replies = options.tls_in_replies};
  if (options.tls_garbage) manner.fault = Fault::garbage;
  if (options.hang_at == Moment::tls) manner.fault = Fault::silence;
  if (options.close_at == Moment::tls) manner.fault = Fault::close;
  return manner;
}

} // namespace

PeerLogin::PeerLogin(const PeerOptions &options, const TlsContext *tls, Wire &wire, Channel &channel,
                     Recorder &recorder)
    : options_(options), tls_(tls), wire_(wire), channel_(channel), recorder_(recorder) {}

void PeerLogin::begin() {
  if (options_.encrypt == "strict") begin_tls(TlsMode::strict);
}

Task<> PeerLogin::at(Moment moment) {
  if (options_.hang_at == moment) {
    recorder_.fact("state", "hanging");
    co_await channel_.until_ended();
    throw ConnectionEnded("the client went away while the peer said nothing, as told");
  }
  if (options_.close_at == moment) {
    wire_.close();
    throw ConnectionEnded("closed, as told");
  }
}

/// A whole message in packets of the login phase.
Task<> PeerLogin::send(tds::ByteView payload) {
  ReplyStream reply(channel_, tds::login_packet_size, spid_);
  co_await reply.write(payload);
  co_await reply.finish();
}

Task<tds::Message> PeerLogin::expect(std::initializer_list<tds::PacketType> types) {
  auto incoming = co_await channel_.next();
  if (!incoming) throw ConnectionEnded("the client closed before its login was complete");
  if (std::ranges::find(types, incoming->message.type) == types.end())
    throw ConnectionEnded(fmt::format("a message of type 0x{:02X} does not belong into a login",
                                      static_cast<int>(incoming->message.type)));
  co_return std::move(incoming->message);
}

Task<std::optional<Session>> PeerLogin::run(Session connection) {
  spid_ = connection.spid;
  auto message = co_await expect({tds::PacketType::prelogin, tds::PacketType::login7});
  if (message.type == tds::PacketType::prelogin) {
    co_await answer_prelogin(message.payload);
    message = co_await expect({tds::PacketType::login7});
  } else if (!agree(options_.encrypt, {}, options_.encryption).mode) {
    throw ConnectionEnded("a login without PRELOGIN came to a server that requires TLS");
  }
  auto decoded = tds::decode_login7(message.payload);
  if (!decoded) throw ConnectionEnded(decoded.error().text());
  const auto &login = *decoded;
  recorder_.facts({{"state", "login"},
                   {"login7", describe(login)},
                   {"mechanism", tds::to_string(tds::recognise(login.sspi))}});
  judge_version(login.tds_version);
  co_await at(Moment::login);
  if (options_.login_delay.count() > 0 && !channel_.ended()) co_await channel_.wait(options_.login_delay);

  auto session = open_session(login, options_);
  session.spid = spid_;
  session.tables = connection.tables;
  session.origin = connection.origin;
  session.encrypted = wire_.tls().mode() == TlsMode::full || wire_.tls().mode() == TlsMode::strict;
  auto refusal =
      login.integrated_security() ? co_await authenticate(login, session) : check_password(login, session);
  if (refusal.empty()) refusal = authorize(session);
  if (refusal.empty() && options_.login_error) refusal = login_failed(session, *options_.login_error);
  if (!refusal.empty()) {
    recorder_.fact("outcome", "refused");
    co_await send(refusal);
    co_return std::nullopt;
  }
  recorder_.facts({{"state", "logged_in"},
                   {"outcome", "accepted"},
                   {"login", session.login},
                   {"auth_scheme", session.auth_scheme},
                   {"database", session.database}});
  co_await send(login_accepted(session, login, options_));
  co_return session;
}

/// TDS 8.0 is a version of strict connections alone. What else may be said there MS-TDS leaves open: tedious
/// says 7.4, and a proxy keeps what its own client said.
void PeerLogin::judge_version(tds::Version version) const {
  const bool strict = wire_.tls().mode() == TlsMode::strict;
  if (version.generation() == 80 && !strict)
    throw ConnectionEnded("TDS 8.0 in a connection that is not strict");
}

// ----------------------------------------------------------------------------------------------------
// PRELOGIN

Task<> PeerLogin::answer_prelogin(tds::ByteView payload) {
  const auto asked = tds::decode_prelogin(payload);
  if (!asked) throw ConnectionEnded(asked.error().text());
  const auto agreed = agree(options_.encrypt, asked->encryption(), options_.encryption);
  auto answer = tds::answer_prelogin(*asked, shown_version);
  if (answer.has(tds::PreloginToken::encryption)) answer.set_encryption(agreed.answer);
  if (answer.has(tds::PreloginToken::mars) && options_.refuse_mars) answer.set_mars(false);
  if (!options_.instance.empty() && asks_for_another(*asked, options_.instance))
    answer.set(tds::PreloginToken::instopt, {1}); // MS-TDS 2.2.6.5: another instance than this one
  mars_ = answer.mars();
  recorder_.facts({{"state", "prelogin"}, {"prelogin", describe(*asked, answer)}});
  if (agreed.mode == TlsMode::clear) recorder_.fact("mode", "clear");
  co_await at(Moment::prelogin);
  // Before the answer goes out: what comes after it is TLS.
  const bool tls = agreed.mode == TlsMode::login || agreed.mode == TlsMode::full;
  if (tls && channel_.unread()) throw ConnectionEnded("clear bytes came behind PRELOGIN, where TLS was due");
  if (tls) begin_tls(*agreed.mode);
  co_await send(tds::encode_prelogin(answer));
  if (!agreed.mode) throw ConnectionEnded("no agreement on TLS");
  co_await at(Moment::prelogin_answered);
}

void PeerLogin::begin_tls(TlsMode mode) {
  if (!tls_) throw ConnectionEnded("the peer has no certificate for TLS");
  wire_.begin_tls(mode, *tls_, manner_of(options_));
}

// ----------------------------------------------------------------------------------------------------
// who it is

/// Empty, or the refusal.
tds::Bytes PeerLogin::check_password(const tds::Login7 &login, Session &session) const {
  session.login = tds::to_utf8(login.user_name);
  session.auth_scheme = "SQL";
  const auto known = options_.logins.find(session.login);
  tds::Writer expected;
  if (known != options_.logins.end()) expected.utf16(tds::to_utf16(known->second));
  if (known != options_.logins.end() && std::ranges::equal(expected.bytes(), login.password.reveal()))
    return {};
  return login_denied(session, session.login);
}

/// Integrated login: tokens to and fro. Empty, or the refusal; throws when the last token that
/// went out was the refusal.
Task<tds::Bytes> PeerLogin::authenticate(const tds::Login7 &login, Session &session) {
  if (options_.login_error && options_.login_error->number == 18452)
    co_return login_failed(session, *options_.login_error);
  const auto bindings = channel_bindings();
  recorder_.facts({{"bindings", bindings.empty() ? "none" : "tls-unique"}, {"channel_bound", false}});
  Acceptor acceptor(acceptor_options(options_, bindings));
  json tokens = json::array();
  tds::Bytes token = login.sspi;
  for (int round = 0; round < most_sspi_rounds; ++round) {
    auto step = acceptor.accept(token);
    const bool failed = step.state == Acceptor::Step::State::failed;
    const bool unbound = binding_refused(acceptor, step);
    // NTLM's only token is the challenge, which proves nothing and cannot be left out.
    const bool withheld = options_.omit_sspi_token && !failed && !step.token.empty() &&
                          acceptor.framing() != tds::Mechanism::ntlm;
    const bool send_token = !step.token.empty() && !unbound && !withheld;
    tokens.push_back({{"received", token.size()}, {"sent", send_token ? step.token.size() : 0}});
    recorder_.facts({{"tokens", tokens},
                     {"flags", acceptor.flags()},
                     {"channel_bound", acceptor.channel_bound()},
                     {"initiator", acceptor.initiator()},
                     {"spn", acceptor.spn()}});
    if (acceptor.ntlm()) recorder_.fact("ntlm", describe(*acceptor.ntlm()));
    if (failed)
      recorder_.facts({{"outcome", "refused"}, {"krb_error", step.krb_error}, {"gss_error", step.text}});
    if (unbound) recorder_.fact("epa", step.bad_bindings ? "mismatch" : "unbound");
    if (unbound || (failed && step.token.empty())) co_return login_untrusted(session);
    if (send_token) {
      co_await send(tds::encode_tokens({tds::SspiToken{step.token}}, session.version));
      if (failed) throw ConnectionEnded("the client's ticket was rejected");
      co_await at(Moment::sspi_answered);
    }
    if (step.state == Acceptor::Step::State::complete || withheld) {
      // LOGINACK follows in a message of its own, unasked: the client has nothing left to send.
      session.login = windows_name(acceptor.initiator(), options_);
      session.auth_scheme = acceptor.scheme().empty() ? "KERBEROS" : acceptor.scheme();
      principal_ = acceptor.initiator();
      co_return tds::Bytes();
    }
    token = (co_await expect({tds::PacketType::sspi})).payload;
  }
  throw ConnectionEnded("too many rounds of SSPI tokens");
}

/// Of the TLS session that the login came through, also where it covers the login alone. Empty with epa off,
/// and where the channel has no tls-unique.
tds::Bytes PeerLogin::channel_bindings() const {
  const auto *session = wire_.tls().session();
  if (options_.epa == "off" || !session) return {};
  const auto finished = session->client_finished();
  if (finished.empty()) return {};
  tds::Bytes bindings(tls_unique.begin(), tls_unique.end());
  bindings.insert(bindings.end(), finished.begin(), finished.end());
  return bindings;
}

bool PeerLogin::binding_refused(const Acceptor &acceptor, const Acceptor::Step &step) const {
  if (step.bad_bindings) return true;
  return options_.epa == "required" && step.state == Acceptor::Step::State::complete &&
         !acceptor.channel_bound();
}

/// Authenticated: is there a login, and the database? Empty, or the refusal.
tds::Bytes PeerLogin::authorize(const Session &session) const {
  const auto holds = [](const auto &list, const std::string &name) {
    return std::ranges::find(list, name) != list.end();
  };
  if (!principal_.empty() && options_.principals && !holds(*options_.principals, principal_))
    return login_denied(session, session.login);
  const auto database = session.database.empty() ? std::string("master") : session.database;
  if (!holds(options_.databases, database)) return login_denied(session, session.login, database);
  return {};
}

} // namespace lab

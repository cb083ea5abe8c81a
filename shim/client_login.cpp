#include "shim/client_login.hpp"

#include "shim/login/drive.hpp"

#include <sys/random.h>

namespace shim {
namespace {

constexpr auto step = Step::client_login;

tds::ClientTls client_tls(config::ListenerTls tls) {
  switch (tls) {
  case config::ListenerTls::off:
    return tds::ClientTls::off;
  case config::ListenerTls::optional:
    return tds::ClientTls::optional;
  case config::ListenerTls::required:
    break;
  }
  return tds::ClientTls::required;
}

Cause cause_of(tds::AcceptFault fault) {
  switch (fault) {
  case tds::AcceptFault::client_requires_tls:
    return Cause::client_requires_tls;
  case tds::AcceptFault::listener_requires_tls:
    return Cause::listener_requires_tls;
  case tds::AcceptFault::tds_too_old:
    return Cause::tds_too_old;
  case tds::AcceptFault::closed:
  case tds::AcceptFault::protocol_violation:
    break;
  }
  return Cause::protocol_violation;
}

/// No two are alike: what a client answers to one is of no use anywhere.
tds::NtlmChallenge fresh_challenge() {
  using namespace std::chrono;
  using HundredNanoseconds = duration<std::uint64_t, std::ratio<1, 10'000'000>>;
  constexpr std::uint64_t since_1601 = 11'644'473'600 * 10'000'000; // until 1970
  tds::NtlmChallenge challenge;
  if (::getrandom(challenge.nonce.data(), challenge.nonce.size(), 0) < 0) challenge.nonce = {};
  challenge.time =
      since_1601 + duration_cast<HundredNanoseconds>(system_clock::now().time_since_epoch()).count();
  return challenge;
}

} // namespace

ClientLogin::ClientLogin(const config::Listener &listener, const TlsContexts &tls, Trail &trail,
                         Stream &client)
    : listener_(listener), tls_(tls), trail_(trail), client_(client),
      machine_(listener.version, client_tls(listener.tls), fresh_challenge()) {}

Task<std::expected<tds::LoginRequest, Ended>>
ClientLogin::run(Millis limit, std::chrono::steady_clock::time_point started) {
  answer_.unread = false;
  auto login = co_await with_deadline(talk(), left_of(limit, started));
  answer_.dialect = machine_.dialect();
  if (!login)
    co_return std::unexpected(
        Failure{step, Cause::deadline,
                "no complete login within " + std::to_string(limit.count()) + " ms; [limits] client_login"});
  if (*login) {
    answer_.short_texts = under_odbc((*login)->login);
    answer_.number = final_number((*login)->login);
  }
  co_return std::move(*login);
}

Task<std::expected<tds::LoginRequest, Ended>> ClientLogin::talk() {
  std::vector<std::uint8_t> buffer(4096);
  const Leg leg{client_, step, "the client", "Bytes came behind LOGIN7's first packet, under TLS.", buffer};
  auto action = co_await drive(
      leg, machine_, [this] { tell_prelogin(); },
      [this](const tds::StartTls &start) { return start_tls(start); });
  tds::wipe(buffer); // a password stands in it
  if (!action) co_return std::unexpected(std::move(action.error()));
  if (auto *asked = std::get_if<tds::LoginRequest>(&*action)) co_return std::move(*asked);
  co_return std::unexpected(ended(std::get<tds::AcceptRefused>(*action)));
}

Task<std::optional<Failure>> ClientLogin::start_tls(const tds::StartTls &start) {
  answer_.possible = false; // the client waits for a handshake: nothing else can be said to it now
  auto context = tls_.accepting(listener_);
  if (!context) co_return Failure{step, Cause::tls_mismatch, context.error()};
  auto facts = co_await client_.handshake({.context = *context,
                                           .accept = true,
                                           .within_prelogin = start.framing == tds::TlsFraming::prelogin,
                                           .received = start.received,
                                           .names = {},
                                           .server_name = {}});
  if (!facts) co_return Failure{step, Cause::tls_mismatch, "the client: " + facts.error().detail};
  answer_.possible = true;
  trail_.emit(TlsAgreed{Side::client, facts->version, facts->cipher, facts->names, false, "", ""});
  co_return std::nullopt;
}

void ClientLogin::tell_prelogin() {
  if (prelogin_told_ || !machine_.answered()) return;
  trail_.emit(
      PreloginAnswered{Side::client, tds::describe(*machine_.asked()), tds::describe(*machine_.answered())});
  prelogin_told_ = true;
}

Ended ClientLogin::ended(const tds::AcceptRefused &refused) {
  if (refused.fault == tds::AcceptFault::closed) return ClientLeft{refused.detail};
  answer_.possible = refused.answer;
  return Failure{step, cause_of(refused.fault), refused.detail};
}

Task<Ended> watch(Stream &client) {
  for (;;) {
    char byte;
    const auto moved = client.try_read(&byte, 1);
    if (moved.count > 0)
      co_return Failure{Step::server_login, Cause::protocol_violation,
                        "the client: bytes after LOGIN7, before its answer"};
    if (moved.error == asio::error::eof) co_return ClientLeft{"closed before the login was answered"};
    if (moved.error) co_return ClientLeft{moved.error.message()};
    const auto error = co_await client.ready(moved.wait);
    co_await stop_if_cancelled();
    if (error) co_return ClientLeft{error.message()};
  }
}

} // namespace shim

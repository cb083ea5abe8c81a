#include "shim/login/server_login.hpp"

#include "shim/login/cause_of.hpp"

#include <array>

namespace shim {
namespace {

std::string hex(std::uint32_t flags) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%x", flags);
  return text.data();
}

} // namespace

bool ServerLogin::certificate_stands_in() const {
  return server_verified && (ntlm() || route.mutual_auth == config::MutualAuth::or_verified_tls);
}

void ServerLogin::tell() {
  if (!prelogin_told && machine.answered()) {
    trail.emit(PreloginAnswered{"server", prelogin_asked, tds::describe(*machine.answered())});
    prelogin_told = true;
  }
  for (; messages_told < machine.messages().size(); ++messages_told) {
    const auto &message = machine.messages()[messages_told];
    trail.emit(ServerSaid{message.number, message.state, message.severity, tds::to_utf8(message.text)});
  }
}

std::optional<Failure> ServerLogin::give_token(const tds::NeedToken &need) {
  // GSSAPI would take some tokens for a context that stands, and nothing good can be in them.
  if (context_complete)
    return Failure{Step::server_login, Cause::protocol_violation,
                   "the server: it sends an SSPI token though the security context is complete"};
  auto step = initiator->step(need.server_token);
  TokenExchanged event;
  event.round = ++round;
  event.mechanism = ntlm() ? "ntlm" : "spnego";
  event.received = need.server_token.size();
  if (!step) {
    trail.emit(event);
    auto cause = cause_of_context_error(step.error().kind);
    ticket_rejected = true;
    return Failure{Step::server_login, cause, words_of(step.error())};
  }
  event.sent = step->token.size();
  event.flags_asked = hex(step->flags_asked);
  event.flags_granted = hex(step->flags_granted);
  event.done = context_complete = step->complete;
  trail.emit(event);
  const bool stands_in = certificate_stands_in();
  const bool unproven_will_do = ntlm() && route.unprotected == config::Unprotected::accept;
  if (step->complete && !step->mutual && !stands_in && !unproven_will_do)
    return Failure{Step::server_login, Cause::mutual_auth_missing,
                   "the security context is complete, but the server did not prove itself"};
  machine.token(std::move(step->token), step->complete || (stands_in && !ntlm()));
  return std::nullopt;
}

Task<std::optional<Failure>> ServerLogin::start_tls(const tds::StartTls &start) {
  handshake.within_prelogin = start.framing == tds::TlsFraming::prelogin;
  auto facts = co_await stream.handshake(std::move(handshake));
  if (!facts) {
    const auto cause = cause_of_tls_fault(facts.error().fault);
    // What the certificate holds is told of one that is refused, too: the remedy names it.
    if (!facts.error().names.empty())
      trail.emit(TlsAgreed{"server", "", "", facts.error().names, false, "none", std::string(id(cause))});
    co_return Failure{Step::server_login, cause, facts.error().detail};
  }
  server_verified = facts->verified;
  const auto binding = channel_binding(*facts);
  TlsAgreed agreed{"server", facts->version, facts->cipher, facts->names, facts->verified, "none", ""};
  if (!initiator)
    agreed.reason = "no-token";
  else if (binding.empty())
    agreed.reason = "tls13";
  else
    agreed.binding = "tls-unique";
  trail.emit(agreed);
  if (initiator && !binding.empty()) initiator->bind(binding);
  machine.tls_established();
  co_return std::nullopt;
}

Failure ServerLogin::refused(const tds::ConnectRefused &refusal) {
  using enum tds::ConnectFault;
  auto failure = [](Cause cause, std::string detail) {
    return Failure{Step::server_login, cause, std::move(detail)};
  };
  switch (refusal.fault) {
  case closed:
    ticket_rejected = machine.token_sent();
    return failure(Cause::server_closed, refusal.detail);
  case server_requires_tls:
    return failure(Cause::server_requires_tls, refusal.detail);
  case server_without_tls:
    return failure(Cause::server_without_tls, refusal.detail);
  case mars_refused:
    return failure(Cause::mars_refused, refusal.detail);
  case redirect:
    return failure(Cause::redirect_refused, refusal.detail);
  case context_incomplete:
    return failure(Cause::mutual_auth_missing, refusal.detail);
  case refused_by_server: {
    std::string detail = refusal.detail;
    Cause cause = Cause::login_denied;
    if (refusal.server_error) {
      cause = cause_of_server_error(refusal.server_error->number);
      if (cause == Cause::login_untrusted && ntlm()) cause = Cause::ntlm_untrusted;
      detail = std::to_string(refusal.server_error->number) + ": " + tds::to_utf8(refusal.server_error->text);
    }
    ticket_rejected = cause == Cause::login_untrusted || cause == Cause::ntlm_untrusted;
    return failure(cause, detail);
  }
  case wrong_instance:
    this->wrong_instance = true;
    break;
  case protocol_violation:
    break;
  }
  return failure(Cause::protocol_violation, "the server: " + refusal.detail);
}

Task<std::expected<tds::LoginReply, std::variant<Failure, tds::ConnectRefused>>> ServerLogin::run() {
  std::vector<std::uint8_t> buffer(8192);
  for (;;) {
    auto action = machine.next();
    tell();
    if (auto *send = std::get_if<tds::Send>(&action)) {
      // An error shows again at the next read, which first yields what the server
      // still said before it closed.
      co_await stream.write(send->bytes);
      co_await stop_if_cancelled();
    } else if (std::holds_alternative<tds::Receive>(action)) {
      auto [error, count] = co_await stream.read_some(asio::buffer(buffer));
      co_await stop_if_cancelled();
      if (error.category() == tls_category())
        co_return std::unexpected(
            Failure{Step::server_login, Cause::protocol_violation, "the server: " + error.message()});
      if (error)
        machine.end_of_stream();
      else
        machine.receive({buffer.data(), count});
    } else if (auto *start = std::get_if<tds::StartTls>(&action)) {
      if (auto failure = co_await start_tls(*start)) co_return std::unexpected(std::move(*failure));
    } else if (std::holds_alternative<tds::StopTls>(action)) {
      if (stream.pending() > 0)
        co_return std::unexpected(Failure{Step::server_login, Cause::protocol_violation,
                                          "the server: bytes came under TLS before LOGIN7 was sent"});
      stream.stop_tls();
    } else if (auto *need = std::get_if<tds::NeedToken>(&action)) {
      if (auto failure = give_token(*need)) co_return std::unexpected(std::move(*failure));
    } else if (auto *refusal = std::get_if<tds::ConnectRefused>(&action)) {
      if (refusal->routing) co_return std::unexpected(std::move(*refusal));
      co_return std::unexpected(refused(*refusal));
    } else {
      co_return std::move(std::get<tds::LoginReply>(action));
    }
  }
}

std::vector<std::uint8_t> channel_binding(const TlsFacts &facts) {
  if (facts.unique.empty()) return {};
  constexpr std::string_view prefix = "tls-unique:";
  std::vector<std::uint8_t> binding(prefix.begin(), prefix.end());
  binding.insert(binding.end(), facts.unique.begin(), facts.unique.end());
  return binding;
}

} // namespace shim

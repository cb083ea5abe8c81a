#include "shim/login/server_login.hpp"

#include "shim/login/cause_of.hpp"
#include "shim/login/drive.hpp"
#include "shim/login/rewrite.hpp"

#include <algorithm>
#include <array>

namespace shim {
namespace {

std::string hex(std::uint32_t flags) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%x", flags);
  return text.data();
}

tds::ServerTls server_tls(config::Encrypt encrypt) {
  switch (encrypt) {
  case config::Encrypt::off:
    return tds::ServerTls::off;
  case config::Encrypt::login:
    return tds::ServerTls::login;
  case config::Encrypt::require:
    return tds::ServerTls::require;
  case config::Encrypt::strict:
    break;
  }
  return tds::ServerTls::strict;
}

/// The login while it runs.
class ServerLogin {
public:
  ServerLogin(Login &login, Stream &stream, const Attempt &attempt, const auth::Target &target,
              TlsHandshake handshake, std::unique_ptr<auth::Initiator> initiator)
      : login_(login), stream_(stream), mechanism_(attempt.kind.mechanism), handshake_(std::move(handshake)),
        machine_({server_prelogin(login.asked, target),
                  rewrite(login.asked.login, mechanism_, login.route.encrypt), initiator != nullptr,
                  server_tls(login.route.encrypt)}),
        asked_(tds::describe(machine_.asked())), initiator_(std::move(initiator)) {}

  Task<LoginOutcome> run();

private:
  bool ntlm() const { return mechanism_ == config::Mechanism::ntlm; }
  /// Writes down what the machine has learned since the last call.
  void emit_news();
  /// What TLS proved ends with TLS: behind a login-only switch anybody may speak for the server.
  bool proven_by_tls() const { return server_verified_ && stream_.encrypted() && !login_only(); }
  bool login_only() const {
    return login_.route.encrypt == config::Encrypt::login && machine_.answered() &&
           machine_.answered()->encryption() == tds::Encryption::off;
  }
  /// Whether a certificate that was verified stands in for the server's token: where the route says so, and
  /// always with NTLM, which has no such token.
  bool certificate_stands_in() const;
  std::optional<Failure> give_token(const tds::NeedToken &need);
  Task<std::optional<Failure>> start_tls(const tds::StartTls &start);
  Failure refused(const tds::ConnectRefused &refusal);
  LoginOutcome ended(decltype(LoginOutcome::what) what) const {
    return {std::move(what), (context_complete_ && !ntlm()) || proven_by_tls(), ticket_rejected_,
            wrong_instance_};
  }

  Login &login_;
  Stream &stream_;
  config::Mechanism mechanism_;
  TlsHandshake handshake_;
  tds::ConnectLogin machine_;
  std::string asked_; ///< our PRELOGIN, in words
  std::unique_ptr<auth::Initiator> initiator_;
  int round_ = 0;
  bool prelogin_told_ = false;
  std::size_t messages_told_ = 0;
  bool context_complete_ = false;
  bool server_verified_ = false; ///< by its certificate
  bool ticket_rejected_ = false;
  bool wrong_instance_ = false;
};

bool ServerLogin::certificate_stands_in() const {
  return proven_by_tls() && (ntlm() || login_.route.mutual_auth == config::MutualAuth::or_verified_tls);
}

void ServerLogin::emit_news() {
  if (!prelogin_told_ && machine_.answered()) {
    login_.trail.emit(PreloginAnswered{Side::server, asked_, tds::describe(*machine_.answered())});
    prelogin_told_ = true;
  }
  for (; messages_told_ < machine_.messages().size(); ++messages_told_) {
    const auto &message = machine_.messages()[messages_told_];
    login_.trail.emit(
        ServerSaid{message.number, message.state, message.severity, tds::to_utf8(message.text)});
  }
}

std::optional<Failure> ServerLogin::give_token(const tds::NeedToken &need) {
  // GSSAPI would take some tokens for a context that stands, and nothing good can be in them.
  if (context_complete_)
    return Failure{Step::server_login, Cause::protocol_violation,
                   "the server: it sends an SSPI token though the security context is complete"};
  auto step = initiator_->step(need.server_token);
  TokenExchanged event;
  event.round = ++round_;
  event.mechanism = ntlm() ? "ntlm" : "spnego";
  event.received = need.server_token.size();
  if (!step) {
    login_.trail.emit(event);
    auto cause = cause_of_context_error(step.error().kind);
    ticket_rejected_ = true;
    return Failure{Step::server_login, cause, words_of(step.error())};
  }
  event.sent = step->token.size();
  event.flags_asked = hex(step->flags_asked);
  event.flags_granted = hex(step->flags_granted);
  event.done = context_complete_ = step->complete;
  login_.trail.emit(event);
  const bool stands_in = certificate_stands_in();
  const bool unproven_will_do = ntlm() && login_.route.unprotected == config::Unprotected::accept;
  if (step->complete && !step->mutual && !stands_in && !unproven_will_do)
    return Failure{Step::server_login, Cause::mutual_auth_missing,
                   "the security context is complete, but the server did not prove itself"};
  machine_.token(std::move(step->token), step->complete || (stands_in && !ntlm()));
  return std::nullopt;
}

Task<std::optional<Failure>> ServerLogin::start_tls(const tds::StartTls &start) {
  handshake_.within_prelogin = start.framing == tds::TlsFraming::prelogin;
  auto facts = co_await stream_.handshake(std::move(handshake_));
  if (!facts) {
    const auto cause = cause_of_tls_fault(facts.error().fault);
    // What the certificate holds is told of one that is refused, too: the remedy names it.
    if (!facts.error().names.empty())
      login_.trail.emit(
          TlsAgreed{Side::server, "", "", facts.error().names, false, "none", std::string(id(cause))});
    co_return Failure{Step::server_login, cause, facts.error().detail};
  }
  server_verified_ = facts->verified;
  const auto binding = channel_binding(*facts);
  TlsAgreed agreed{Side::server, facts->version, facts->cipher, facts->names, facts->verified, "none", ""};
  if (!initiator_)
    agreed.reason = "no-token";
  else if (binding.empty())
    agreed.reason = "tls13";
  else
    agreed.binding = "tls-unique";
  login_.trail.emit(agreed);
  if (initiator_ && !binding.empty()) initiator_->bind(binding);
  co_return std::nullopt;
}

Failure ServerLogin::refused(const tds::ConnectRefused &refusal) {
  using enum tds::ConnectFault;
  auto failure = [](Cause cause, std::string detail) {
    return Failure{Step::server_login, cause, std::move(detail)};
  };
  switch (refusal.fault) {
  case closed:
    ticket_rejected_ = machine_.token_sent();
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
    ticket_rejected_ = cause == Cause::login_untrusted || cause == Cause::ntlm_untrusted;
    auto with_its_words = failure(cause, detail);
    std::ranges::copy_if(machine_.messages(), std::back_inserter(with_its_words.errors),
                         &tds::ServerMessage::error);
    return with_its_words;
  }
  case wrong_instance:
    wrong_instance_ = true;
    break;
  case protocol_violation:
    break;
  }
  return failure(Cause::protocol_violation, "the server: " + refusal.detail);
}

Task<LoginOutcome> ServerLogin::run() {
  std::vector<std::uint8_t> buffer(8192);
  const Leg leg{stream_, Step::server_login, "the server",
                "the server: bytes came under TLS before LOGIN7 was sent", buffer};
  for (;;) {
    auto action = co_await drive(
        leg, machine_, [this] { emit_news(); },
        [this](const tds::StartTls &start) { return start_tls(start); });
    if (!action) co_return ended(std::move(action.error()));
    if (auto *need = std::get_if<tds::NeedToken>(&*action)) {
      if (auto failure = give_token(*need)) co_return ended(std::move(*failure));
    } else if (auto *refusal = std::get_if<tds::ConnectRefused>(&*action)) {
      if (refusal->routing) co_return ended(std::move(*refusal->routing));
      auto failure = refused(*refusal);
      co_return ended(std::move(failure));
    } else {
      co_return ended(std::move(std::get<tds::LoginReply>(*action)));
    }
  }
}

} // namespace

Task<LoginOutcome> server_login(Login &login, Stream &stream, const Attempt &attempt,
                                const auth::Target &target, TlsHandshake handshake,
                                std::unique_ptr<auth::Initiator> initiator_) {
  ServerLogin running(login, stream, attempt, target, std::move(handshake), std::move(initiator_));
  co_return co_await running.run();
}

std::vector<std::uint8_t> channel_binding(const TlsFacts &facts) {
  if (facts.unique.empty()) return {};
  constexpr std::string_view prefix = "tls-unique:";
  std::vector<std::uint8_t> binding(prefix.begin(), prefix.end());
  binding.insert(binding.end(), facts.unique.begin(), facts.unique.end());
  return binding;
}

} // namespace shim

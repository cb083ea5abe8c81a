// A whole login as a server plays it, cut at any place (tds/connect_login.hpp). After three bytes of choices
// the input is a row of { size 2, bytes }: what the server sends at once, each time that the machine waits,
// in TLS or not: a handshake succeeds at once.
#include "tds/connect_login.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

struct Choices {
  bool integrated, mars;
  tds::ServerTls tls;
  tds::Version version;
  std::size_t complete_after; ///< our context is complete after so many tokens of ours
  std::size_t piece;          ///< bytes for each Receive in the second pass
  std::size_t token_size;     ///< some make a LOGIN7 of two packets
};

tds::ConnectRequest request_of(const Choices &choices) {
  tds::ConnectRequest request;
  request.prelogin.set_version({9, 0, 0, 0});
  request.prelogin.set_encryption(tds::Encryption::not_sup);
  request.prelogin.set_mars(choices.mars);
  request.login.tds_version = choices.version;
  request.login.packet_size = 8000;
  request.login.option_flags2 = choices.integrated ? tds::option2_integrated_security : 0;
  request.integrated = choices.integrated;
  request.tls = choices.tls;
  return request;
}

struct Outcome {
  std::optional<tds::ConnectRefused> refused;
  tds::LoginReply reply;
  std::vector<tds::ServerMessage> messages;
};

bool is_just_one_message(fuzz::ByteView fed) {
  tds::MessageReader reader(fed.size());
  reader.feed(fed);
  const auto message = reader.next();
  return message && *message && reader.unread() == 0;
}

/// Feeds the rows one by one, each in pieces of at most `piece` bytes.
Outcome play(const Choices &choices, fuzz::ByteView input, std::size_t piece) {
  fuzz::Cursor rows(input);
  fuzz::ByteView row;
  Outcome outcome;
  tds::ConnectLogin machine(request_of(choices));
  std::size_t receives = 0, tokens = 0;
  bool ended = false, complete = false, started = false, stopped = false, login_sent = false;
  tds::Bytes in_clear; // what was fed before TLS
  const bool strict = choices.tls == tds::ServerTls::strict;
  // What was fed, the message it makes, the reply without hidden tokens, each growing by doubling; and the
  // messages kept for the log.
  const std::size_t bound = 128 * 1024 + 16 * input.size() + 256 * tds::most_kept_messages;
  for (std::size_t actions = 0;; ++actions) {
    fuzz::require(actions < 4 * (tds::most_sspi_rounds + 3) + receives, "a machine ends");
    auto action = fuzz::within(bound, [&] { return machine.next(); });
    if (const auto *send = std::get_if<tds::Send>(&action)) {
      const bool login = send->bytes.at(0) == static_cast<std::uint8_t>(tds::PacketType::login7);
      fuzz::require(started || !strict, "with TLS first nothing is sent in clear");
      fuzz::require(started || !login || choices.tls == tds::ServerTls::off,
                    "no login without the TLS that was asked for");
      login_sent = login_sent || login;
    } else if (const auto *start = std::get_if<tds::StartTls>(&action)) {
      fuzz::require(!started && !ended && choices.tls != tds::ServerTls::off,
                    "TLS starts once, where it is wanted");
      fuzz::require(start->received.empty() && (start->framing == tds::TlsFraming::bare) == strict &&
                        (strict == (actions == 0)),
                    "TLS is first with strict");
      fuzz::require(strict ? in_clear.empty() : is_just_one_message(in_clear), "no plaintext before TLS");
      started = true;
      machine.tls_established();
    } else if (std::holds_alternative<tds::StopTls>(action)) {
      fuzz::require(started && !stopped && login_sent && choices.tls == tds::ServerTls::login &&
                        machine.answered()->encryption() == tds::Encryption::off,
                    "login-only TLS stops once, when the first packet of LOGIN7 is out");
      stopped = true;
    } else if (std::holds_alternative<tds::Receive>(action)) {
      fuzz::require(!ended, "nothing is read behind the end of the stream");
      ++receives;
      while (row.empty() && !rows.empty()) {
        const auto size = rows.u16();
        row = rows.take(size);
      }
      const auto part = row.first(std::min(piece, row.size()));
      row = row.subspan(part.size());
      if (part.empty()) {
        ended = true;
        machine.end_of_stream();
      } else {
        if (!started) in_clear.insert(in_clear.end(), part.begin(), part.end());
        fuzz::within(1024 + 4 * input.size(), [&] { return machine.receive(part), true; });
      }
    } else if (const auto *need = std::get_if<tds::NeedToken>(&action)) {
      fuzz::require(choices.integrated, "a token is asked for integrated logins alone");
      fuzz::require(need->server_token.empty() == (tokens == 0),
                    "the server's token is there but for the first time");
      fuzz::require(need->server_token.size() <= tds::largest_sspi_token,
                    "no token is longer than 65,535 bytes");
      fuzz::require(started == (choices.tls != tds::ServerTls::off), "a token is asked for when TLS stands");
      complete = ++tokens >= choices.complete_after;
      machine.token(tds::Bytes(complete && tokens > 1 ? 0 : choices.token_size, 0x5A), complete);
    } else if (auto *reply = std::get_if<tds::LoginReply>(&action)) {
      fuzz::require(!choices.integrated || complete, "no login before the server has proven who it is");
      fuzz::require(started == (choices.tls != tds::ServerTls::off),
                    "no login without the TLS that was asked for");
      fuzz::require(stopped || choices.tls != tds::ServerTls::login ||
                        machine.answered()->encryption() != tds::Encryption::off,
                    "login-only TLS stops");
      outcome.reply = std::move(*reply);
      break;
    } else if (auto *refused = std::get_if<tds::ConnectRefused>(&action)) {
      fuzz::require(!refused->detail.empty(), "a refusal says why");
      fuzz::require((refused->fault == tds::ConnectFault::refused_by_server) ==
                        refused->server_error.has_value(),
                    "the server's error comes with its refusal");
      fuzz::require((refused->fault == tds::ConnectFault::redirect) == refused->routing.has_value(),
                    "a redirect says where to");
      outcome.refused = std::move(*refused);
      break;
    }
  }
  outcome.messages = machine.messages();
  fuzz::require(outcome.messages.size() <= tds::most_kept_messages, "messages without end are not kept");
  fuzz::require(std::holds_alternative<tds::ConnectRefused>(machine.next()),
                "asked again after its end it refuses");
  return outcome;
}

} // namespace

FUZZ_TARGET(connect_login, 2 * tds::largest_login_reply) {
  fuzz::Cursor in(input);
  constexpr tds::Version versions[] = {tds::tds_7_4, tds::tds_7_0, tds::tds_7_1, tds::tds_7_2};
  const auto bits = in.u8();
  const auto tls = static_cast<tds::ServerTls>(bits >> 6);
  const auto version = versions[bits >> 2 & 3];
  const bool newest = tls == tds::ServerTls::strict && version == tds::tds_7_4;
  const Choices choices{.integrated = (bits & 1) == 0,
                        .mars = (bits & 2) != 0,
                        .tls = tls,
                        .version = newest ? tds::tds_8_0 : version,
                        .complete_after = 1u + (bits >> 4 & 3),
                        .piece = 1u + in.u8(),
                        .token_size = std::size_t{20} * in.u8()};
  const auto rows = in.rest();
  const Outcome whole = play(choices, rows, 0xFFFF);
  const Outcome cut = play(choices, rows, choices.piece);
  // All at once shows bytes that came too early; what is accepted all at once is accepted however it is cut.
  if (whole.refused) return;
  fuzz::require(!cut.refused && cut.reply.tokens == whole.reply.tokens &&
                    cut.reply.spid == whole.reply.spid && cut.reply.version == whole.reply.version &&
                    cut.reply.database == whole.reply.database &&
                    cut.reply.packet_size == whole.reply.packet_size && cut.messages == whole.messages,
                "where the stream is cut changes no login");
  fuzz::require(whole.reply.tokens.size() <= tds::largest_login_reply, "no reply is longer than 1 MiB");
  fuzz::require(whole.reply.packet_size >= 512 && whole.reply.packet_size <= tds::largest_packet_size,
                "a packet size");
  if (const auto tokens = tds::decode_tokens(whole.reply.tokens, whole.reply.version)) {
    for (const auto &token : *tokens) {
      fuzz::require(!std::holds_alternative<tds::SspiToken>(token),
                    "the client sees no token of our own login");
      const auto *change = std::get_if<tds::EnvChange>(&token);
      fuzz::require(!change || (change->type != tds::EnvChangeType::routing &&
                                change->type != tds::EnvChangeType::enhanced_routing),
                    "nor where to go past us");
    }
  }
}

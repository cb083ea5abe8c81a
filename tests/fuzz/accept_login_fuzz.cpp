// A whole login as an application plays it, cut at any place (tds/accept_login.hpp). After one byte of
// choices the input is what the client says, in TLS or not: a handshake succeeds at once, and takes of a
// ClientHello its first byte alone.
#include "tds/accept_login.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

constexpr std::size_t all_at_once = static_cast<std::size_t>(-1);

/// How the stream is cut.
struct Cut {
  std::size_t piece = all_at_once; ///< at most so many bytes for each Receive
  bool by_packet = false;          ///< and none behind the end of a packet: a client that waits where it must
};

struct Outcome {
  std::optional<tds::AcceptRefused> refused;
  tds::Bytes login; ///< written again, since LOGIN7 with its secrets has no ==
  std::optional<tds::Prelogin> asked, answered;
  bool encrypted = false;
};

/// Bytes up to the end of the first packet of `wire`; 1 where a ClientHello stands or
/// nothing is to be made of it.
std::size_t first_packet(fuzz::ByteView wire) {
  const auto header = tds::decode_packet_header(wire);
  return header && wire[0] != 0x16 ? header->length : 1;
}

/// TLS that starts behind a PRELOGIN: not one byte came behind it.
bool is_just_one_message(fuzz::ByteView fed) {
  tds::MessageReader reader(fed.size());
  reader.feed(fed);
  const auto message = reader.next();
  return message && *message && reader.unread() == 0;
}

Outcome play(tds::ClientTls policy, const fuzz::ByteView wire, Cut cut) {
  Outcome outcome;
  tds::AcceptLogin machine({16, 0, 600, 0}, policy);
  auto rest = wire;
  std::size_t packet = 0; // bytes left of the packet that is on its way
  std::size_t sent = 0;
  bool ended = false, started = false, stopped = false, bare = false;
  // The PRELOGIN, its answer, TLS, the end; each byte, and each packet cut into no more
  // pieces than it has bytes.
  const std::size_t most_actions =
      12 + 2 * (wire.size() / std::min(cut.piece, wire.size() + 1)) + wire.size();
  // What was fed, the message, and the login that it makes: see packet and login7.
  const std::size_t size = wire.size();
  const auto next = [&] { return fuzz::within(64 * 1024 + 32 * size, [&] { return machine.next(); }); };
  for (std::size_t actions = 0;; ++actions) {
    fuzz::require(actions < most_actions, "a machine ends");
    auto action = next();
    fuzz::require(machine.encrypted() <= started && machine.encrypted() <= !stopped,
                  "encrypted says what TLS stands");
    if (auto *send = std::get_if<tds::Send>(&action)) {
      fuzz::require(++sent == 1 && send->bytes.size() <= tds::login_packet_size,
                    "one PRELOGIN answer, of one packet");
    } else if (std::holds_alternative<tds::Receive>(action)) {
      fuzz::require(!ended, "nothing is read behind the end of the stream");
      if (packet == 0) packet = first_packet(rest);
      const auto most = cut.by_packet ? std::min(cut.piece, packet) : cut.piece;
      const auto part = rest.first(std::min(most, rest.size()));
      rest = rest.subspan(part.size());
      packet -= std::min(packet, part.size());
      if (part.empty()) {
        machine.end_of_stream();
        ended = true;
      } else {
        fuzz::within(1024 + 4 * size, [&] { return machine.receive(part), true; });
      }
    } else if (auto *start = std::get_if<tds::StartTls>(&action)) {
      fuzz::require(policy != tds::ClientTls::off && !started && !ended,
                    "TLS starts once, where the listener has it");
      started = true;
      bare = start->framing == tds::TlsFraming::bare;
      const auto fed = wire.first(wire.size() - rest.size());
      if (bare)
        fuzz::require(sent == 0 && fed[0] == 0x16 && std::ranges::equal(start->received, fed),
                      "TLS first is first");
      else
        fuzz::require(sent == 1 && start->received.empty() && is_just_one_message(fed),
                      "no plaintext before TLS");
      machine.tls_established();
      if (bare && start->received.size() > 1) machine.receive(fuzz::ByteView(start->received).subspan(1));
    } else if (std::holds_alternative<tds::StopTls>(action)) {
      fuzz::require(started && !stopped && !bare && machine.answered()->encryption() == tds::Encryption::off,
                    "login-only TLS stops once");
      stopped = true;
    } else if (auto *request = std::get_if<tds::LoginRequest>(&action)) {
      outcome.asked = request->prelogin;
      outcome.answered = request->prelogin_answer;
      outcome.encrypted = machine.encrypted();
      if (auto bytes = tds::encode_login7(request->login)) outcome.login = *std::move(bytes);
      fuzz::require(outcome.asked == machine.asked() && outcome.answered == machine.answered(),
                    "asked and answered");
      fuzz::require(machine.dialect().version == request->login.tds_version && !machine.dialect().tds4,
                    "its dialect");
      fuzz::require(request->password_in_clear == !started, "a password is in clear where no TLS was");
      fuzz::require(machine.encrypted() == (started && !stopped), "TLS stays unless it was stopped");
      fuzz::require(policy != tds::ClientTls::required || machine.encrypted(),
                    "no login in clear where TLS is required");
      fuzz::require(!bare || outcome.answered->encryption() != tds::Encryption::off,
                    "TLS first is never answered off");
      break;
    } else {
      outcome.refused = std::get<tds::AcceptRefused>(action);
      fuzz::require(!outcome.refused->detail.empty(), "a refusal says why");
      if (outcome.refused->answer) tds::encode_refusal(machine.dialect(), {.number = 1, .text = u"text"});
      break;
    }
  }
  fuzz::require(std::holds_alternative<tds::AcceptRefused>(machine.next()),
                "asked again after its end it refuses");
  return outcome;
}

} // namespace

FUZZ_TARGET(accept_login, 2 * tds::largest_login7) {
  fuzz::Cursor in(input);
  constexpr tds::ClientTls policies[] = {tds::ClientTls::off, tds::ClientTls::optional,
                                         tds::ClientTls::required, tds::ClientTls::optional};
  const auto choices = in.u8();
  const auto policy = policies[choices >> 6];
  const std::size_t piece = 1u + (choices & 0x3F);
  const auto wire = in.rest();
  const bool off = policy == tds::ClientTls::off;
  const Outcome at_once = play(policy, wire, {});
  const Outcome whole = off ? at_once : play(policy, wire, {.by_packet = true});
  const Outcome cut = play(policy, wire, {.piece = piece, .by_packet = !off});
  if (!off) play(policy, wire, {.piece = piece});
  // All at once shows early data that comes too late when it is cut; what is accepted all at once is
  // accepted however it is cut.
  fuzz::require(at_once.refused || !whole.refused,
                "what comes packet by packet is no worse than all at once");
  if (whole.refused) return;
  fuzz::require(!cut.refused && cut.login == whole.login && cut.asked == whole.asked &&
                    cut.answered == whole.answered && cut.encrypted == whole.encrypted,
                "where the stream is cut changes no login");
}

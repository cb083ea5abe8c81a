// A whole login as an application plays it, cut at any place (tds/accept_login.hpp).
#include "tds/accept_login.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

struct Outcome {
  std::optional<tds::AcceptRefused> refused;
  tds::Bytes login; ///< written again, since LOGIN7 with its secrets has no ==
  std::optional<tds::Prelogin> asked, answered;
};

/// `piece` bytes for each Receive.
Outcome play(fuzz::ByteView wire, std::size_t piece) {
  Outcome outcome;
  tds::AcceptLogin machine({16, 0, 600, 0});
  std::size_t sent = 0;
  const std::size_t most_actions = 8 + wire.size() / piece;
  bool ended = false;
  // What was fed, the message, and the login that it makes: see packet and login7.
  const std::size_t size = wire.size();
  const auto next = [&] { return fuzz::within(64 * 1024 + 32 * size, [&] { return machine.next(); }); };
  for (std::size_t actions = 0;; ++actions) {
    fuzz::require(actions < most_actions, "a machine ends");
    auto action = next();
    if (auto *send = std::get_if<tds::Send>(&action)) {
      fuzz::require(++sent == 1 && send->bytes.size() <= tds::login_packet_size, "one PRELOGIN answer, of one packet");
    } else if (std::holds_alternative<tds::Receive>(action)) {
      fuzz::require(!ended, "nothing is read behind the end of the stream");
      const auto part = wire.first(std::min(piece, wire.size()));
      wire = wire.subspan(part.size());
      if (part.empty()) {
        machine.end_of_stream();
        ended = true;
      } else {
        fuzz::within(1024 + 4 * size, [&] { return machine.receive(part), true; });
      }
    } else if (auto *request = std::get_if<tds::LoginRequest>(&action)) {
      outcome.asked = request->prelogin;
      outcome.answered = request->prelogin_answer;
      if (auto bytes = tds::encode_login7(request->login)) outcome.login = *std::move(bytes);
      fuzz::require(outcome.asked == machine.asked() && outcome.answered == machine.answered(), "asked and answered");
      fuzz::require(machine.dialect().version == request->login.tds_version && !machine.dialect().tds4, "its dialect");
      break;
    } else {
      outcome.refused = std::get<tds::AcceptRefused>(action);
      fuzz::require(!outcome.refused->detail.empty(), "a refusal says why");
      if (outcome.refused->answer) tds::encode_refusal(machine.dialect(), {.number = 1, .text = u"text"});
      break;
    }
  }
  fuzz::require(std::holds_alternative<tds::AcceptRefused>(machine.next()), "asked again after its end it refuses");
  return outcome;
}

} // namespace

FUZZ_TARGET(accept_login, 2 * tds::largest_login7) {
  fuzz::Cursor in(input);
  const std::size_t piece = 1 + in.u8();
  const auto wire = in.rest();
  const Outcome whole = play(wire, wire.size() + 1);
  const Outcome cut = play(wire, piece);
  // All at once shows early data that comes too late when it is cut; what is accepted all at once is accepted however it is cut.
  if (whole.refused) return;
  fuzz::require(!cut.refused && cut.login == whole.login && cut.asked == whole.asked && cut.answered == whole.answered,
                "where the stream is cut changes no login");
}

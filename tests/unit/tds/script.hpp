// Scripts for the login machines: what must be sent, what comes in, where TLS starts and stops, which tokens
// are asked for, and how it ends. Each script is played as it stands, and then again with its input cut into
// single bytes, with the stream ending at every Receive and within every handshake, and with its input
// truncated and corrupted. Every handshake succeeds at once: TLS itself is not seen here, only what the
// machine takes to be in it.
#pragma once

#include "tds/connect_login.hpp"

#include "support.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace tds::test {

struct Sends { ///< the machine sends this message
  PacketType type{};
  Bytes payload;
};
struct SendsPart { ///< the machine sends these bytes: some packets of a message
  Bytes bytes;
};
struct Starts { ///< TLS starts; `hello`: what came of it so far, all of it by the script
  TlsFraming framing{};
  Bytes hello{};
};
struct Stops {}; ///< what follows is in clear
struct Gets {    ///< the machine asks to receive, and this comes
  Bytes bytes;
};
struct Ends {}; ///< the machine asks to receive, and the stream is at its end
struct Asks {   ///< the machine asks for a token, and gets this
  Bytes server_token;
  Bytes answer;
  bool complete = false;
};
using Step = std::variant<Sends, SendsPart, Starts, Stops, Gets, Ends, Asks>;

inline Step starts() { return Starts{TlsFraming::prelogin}; }
inline Step starts_bare() { return Starts{TlsFraming::bare}; }
inline Gets gets(PacketType type, const Bytes &payload) { return {encode_message(type, payload)}; }

template <class Machine> using ActionOf = decltype(std::declval<Machine &>().next());

inline std::string outcome(AcceptFault fault) {
  switch (fault) {
  case AcceptFault::closed:
    return "closed";
  case AcceptFault::client_requires_tls:
    return "client_requires_tls";
  case AcceptFault::listener_requires_tls:
    return "listener_requires_tls";
  case AcceptFault::tds_too_old:
    return "tds_too_old";
  case AcceptFault::protocol_violation:
    return "protocol_violation";
  }
  return "?";
}

inline std::string outcome(ConnectFault fault) {
  switch (fault) {
  case ConnectFault::closed:
    return "closed";
  case ConnectFault::server_requires_tls:
    return "server_requires_tls";
  case ConnectFault::server_without_tls:
    return "server_without_tls";
  case ConnectFault::mars_refused:
    return "mars_refused";
  case ConnectFault::refused_by_server:
    return "refused_by_server";
  case ConnectFault::redirect:
    return "redirect";
  case ConnectFault::context_incomplete:
    return "context_incomplete";
  case ConnectFault::wrong_instance:
    return "wrong_instance";
  case ConnectFault::protocol_violation:
    return "protocol_violation";
  }
  return "?";
}

template <class Machine> struct Script {
  std::string name;
  std::function<Machine()> machine;
  std::vector<Step> steps;
  std::string outcome; ///< "login", or the fault
  std::string detail;  ///< of a fault: a part of its detail
  /// What else must hold at the end.
  std::function<void(const Machine &, const ActionOf<Machine> &)> check{};
  /// The bytes of one Gets must come at once: what the script shows is that they do.
  bool at_once = false;
};

struct Mode {
  std::size_t chunk = std::numeric_limits<std::size_t>::max(); ///< bytes for each Receive
  std::size_t end_at =
      std::numeric_limits<std::size_t>::max(); ///< the Receive that finds the end of the stream
  /// The input was damaged: the machine may leave the script, but it must come to an end.
  bool lenient = false;
};

/// One pass through a script.
template <class Machine> class Play {
public:
  Play(const Script<Machine> &script, std::vector<Step> steps, Mode mode)
      : machine_(script.machine()), steps_(std::move(steps)), mode_(mode) {}

  /// "login", a fault, or what went wrong with the script itself ("! ...").
  std::string run() {
    for (int actions = 0; actions < 1'000'000; ++actions) {
      last_ = machine_.next();
      const std::string result = std::visit([this](const auto &action) { return this->on(action); }, *last_);
      if (!result.empty()) return result;
    }
    return "! no end";
  }

  const Machine &machine() const { return machine_; }
  const ActionOf<Machine> &last() const { return *last_; }
  std::size_t receives() const { return receives_; }

private:
  std::string on(const Receive &) {
    if (ended_) return "! Receive after the end of the stream";
    if (receives_++ == mode_.end_at) return end();
    if (pending_.empty()) {
      if (mode_.lenient) skip_to_input();
      if (at_ == steps_.size()) return mode_.lenient ? end() : "! Receive after the last step";
      if (std::holds_alternative<Ends>(steps_[at_])) return ++at_, end();
      const auto *step = std::get_if<Gets>(&steps_[at_]);
      if (!step) return wrong("Receive");
      pending_ = step->bytes;
      ++at_;
    }
    const std::size_t size = std::min(mode_.chunk, pending_.size());
    machine_.receive(ByteView(pending_).first(size));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(size));
    return {};
  }

  std::string on(const StartTls &start) {
    if (ended_) return "! StartTls after the end of the stream";
    if (receives_++ == mode_.end_at) return end();
    Bytes hello = start.received;
    if (start.framing == TlsFraming::bare) { // the handshake reads on where the machine left off
      hello.insert(hello.end(), pending_.begin(), pending_.end());
      pending_.clear();
    }
    if (!mode_.lenient) {
      const auto *step = at_ < steps_.size() ? std::get_if<Starts>(&steps_[at_]) : nullptr;
      if (!step) return wrong("StartTls");
      ++at_;
      if (step->framing != start.framing) return "! another framing";
      if (step->hello != hello) return "! another beginning of the handshake";
    }
    machine_.tls_established();
    return {};
  }

  std::string on(const StopTls &) {
    if (mode_.lenient) return {};
    if (at_ == steps_.size() || !std::holds_alternative<Stops>(steps_[at_])) return wrong("StopTls");
    ++at_;
    return {};
  }

  std::string on(const Send &send) {
    if (mode_.lenient) return {};
    if (const auto *part = at_ < steps_.size() ? std::get_if<SendsPart>(&steps_[at_]) : nullptr) {
      ++at_;
      return send.bytes == part->bytes ? "" : "! sent other bytes";
    }
    const auto *step = at_ < steps_.size() ? std::get_if<Sends>(&steps_[at_]) : nullptr;
    if (!step) return wrong("Send");
    ++at_;
    // Packet by packet, so that one that is too long shows.
    for (ByteView rest = send.bytes; !rest.empty();) {
      const auto header = decode_packet_header(rest);
      if (!header || header->length > login_packet_size || header->length > rest.size())
        return "! bad packet sent";
      rest = rest.subspan(header->length);
    }
    MessageReader reader(largest_login7);
    reader.feed(send.bytes);
    const auto message = reader.next();
    if (!message || !*message || reader.unread() > 0) return "! not just one message sent";
    if ((*message)->type != step->type) return "! sent a message of another type";
    if ((*message)->payload != step->payload) return "! sent another payload";
    return {};
  }

  std::string on(const NeedToken &need) {
    if constexpr (requires(Machine & machine) { machine.token({}, true); }) {
      if (mode_.lenient) {
        const auto step = std::find_if(steps_.begin() + static_cast<std::ptrdiff_t>(at_), steps_.end(),
                                       [](const Step &s) { return std::holds_alternative<Asks>(s); });
        const Asks answer = step == steps_.end() ? Asks{{}, {}, true} : std::get<Asks>(*step);
        if (step != steps_.end()) steps_.erase(step);
        machine_.token(answer.answer, answer.complete);
        return {};
      }
      const auto *step = at_ < steps_.size() ? std::get_if<Asks>(&steps_[at_]) : nullptr;
      if (!step) return wrong("NeedToken");
      ++at_;
      if (step->server_token != need.server_token) return "! another server token";
      machine_.token(step->answer, step->complete);
    }
    return {};
  }

  std::string on(const LoginRequest &) { return finished("login"); }
  std::string on(const LoginReply &) { return finished("login"); }
  std::string on(const AcceptRefused &refused) { return finished(outcome(refused.fault)); }
  std::string on(const ConnectRefused &refused) { return finished(outcome(refused.fault)); }

  std::string end() {
    ended_ = true;
    machine_.end_of_stream();
    return {};
  }

  std::string finished(std::string how) {
    const bool all = at_ == steps_.size() || mode_.lenient || ended_;
    return all ? how : "! ended (" + how + ") before step " + std::to_string(at_);
  }

  std::string wrong(const std::string &what) const { return "! " + what + " at step " + std::to_string(at_); }

  void skip_to_input() {
    while (at_ < steps_.size() && !std::holds_alternative<Gets>(steps_[at_]))
      ++at_;
  }

  Machine machine_;
  std::vector<Step> steps_;
  Mode mode_;
  std::size_t at_ = 0;
  Bytes pending_;
  bool ended_ = false;
  std::size_t receives_ = 0;
  std::optional<ActionOf<Machine>> last_;
};

template <class Machine> std::string detail_of(const ActionOf<Machine> &action) {
  if (const auto *refused = std::get_if<std::variant_size_v<ActionOf<Machine>> - 1>(&action))
    return refused->detail;
  return {};
}

template <class Machine> void expect_outcome(const Script<Machine> &script, Mode mode) {
  Play<Machine> play(script, script.steps, mode);
  ASSERT_EQ(play.run(), script.outcome) << detail_of<Machine>(play.last());
  const std::string detail = detail_of<Machine>(play.last());
  EXPECT_NE(detail.find(script.detail), std::string::npos) << detail;
  EXPECT_EQ(detail.empty(), script.outcome == "login"); // every refusal says why
  if (script.check) script.check(play.machine(), play.last());
}

// Long scripts are not cut and damaged at each of their bytes, but at about this many.
inline constexpr std::size_t most_places = 80;
inline std::size_t stride(std::size_t places) { return 1 + places / most_places; }

template <class Machine> std::size_t input_size(const Script<Machine> &script) {
  std::size_t size = 0;
  for (const auto &step : script.steps)
    if (const auto *input = std::get_if<Gets>(&step)) size += input->bytes.size();
  return size;
}

template <class Machine> void expect_closed_wherever_the_stream_ends(const Script<Machine> &script) {
  const std::size_t chunk =
      script.at_once ? std::numeric_limits<std::size_t>::max() : stride(input_size(script));
  Play<Machine> whole(script, script.steps, {.chunk = chunk});
  whole.run();
  for (std::size_t end = 0; end < whole.receives(); ++end) {
    Play<Machine> play(script, script.steps, {.chunk = chunk, .end_at = end});
    ASSERT_EQ(play.run(), "closed") << "at Receive " << end;
  }
}

template <class Machine> void expect_an_end_however_the_input_is_damaged(const Script<Machine> &script) {
  for (std::size_t step = 0; step < script.steps.size(); ++step) {
    const auto *original = std::get_if<Gets>(&script.steps[step]);
    if (!original) continue;
    const std::size_t size = original->bytes.size();
    for (std::size_t place = 0; place < size; place += stride(size)) {
      SCOPED_TRACE("step " + std::to_string(step) + ", byte " + std::to_string(place));
      std::vector<Step> steps = script.steps;
      Bytes &bytes = std::get<Gets>(steps[step]).bytes;

      // Not to nothing: a message that never came may be one that need not come.
      bytes.resize(std::max<std::size_t>(place, 1));
      const std::string truncated = Play<Machine>(script, steps, {.lenient = true}).run();
      ASSERT_FALSE(truncated.starts_with("!")) << truncated;
      if (size > 1 && !script.at_once) {
        ASSERT_NE(truncated, "login");
      }

      for (const int flip : {0x01, 0x80, 0xFF}) {
        bytes = original->bytes;
        bytes[place] = static_cast<std::uint8_t>(bytes[place] ^ flip);
        const std::string corrupted = Play<Machine>(script, steps, {.lenient = true}).run();
        ASSERT_FALSE(corrupted.starts_with("!")) << corrupted;
      }
    }
  }
}

} // namespace tds::test

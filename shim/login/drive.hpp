// The one loop that does what a login machine asks for, on either leg.
#pragma once

#include "shim/diagnosis/diagnose.hpp"
#include "shim/transport/stream.hpp"
#include "tds/accept_login.hpp"

#include <span>

namespace shim {

/// How one leg of a login is driven.
struct Leg {
  Stream &stream;
  Step step;             ///< where a failure of the leg is told to be
  std::string_view peer; ///< "the client", "the server"
  /// What is wrong with bytes that came under TLS behind the last ones that may: a sentence.
  std::string_view bytes_before_stop;
  std::span<std::uint8_t> buffer; ///< to read into
};

/// Does what `machine` (tds::AcceptLogin, tds::ConnectLogin) asks, until it asks for something that is not
/// bytes or TLS: that action is handed back. `learned` is called after each question to the machine, for
/// news to be told; `start_tls(const tds::StartTls &)` is a Task of `std::optional<Failure>`. A write that
/// fails is no failure by itself: the next read first yields what the peer still said before it closed. May
/// be cancelled at any point.
template <class Machine, class Learned, class StartTls>
Task<std::expected<decltype(std::declval<Machine>().next()), Failure>>
drive(Leg leg, Machine &machine, Learned learned, StartTls start_tls) {
  const auto violation = [&](std::string detail) {
    return std::unexpected(Failure{leg.step, Cause::protocol_violation, std::move(detail)});
  };
  for (;;) {
    auto action = machine.next();
    learned();
    if (auto *send = std::get_if<tds::Send>(&action)) {
      co_await leg.stream.write(send->bytes);
      co_await stop_if_cancelled();
    } else if (std::holds_alternative<tds::Receive>(action)) {
      auto [error, count] = co_await leg.stream.read_some(asio::buffer(leg.buffer.data(), leg.buffer.size()));
      co_await stop_if_cancelled();
      if (error.category() == tls_category())
        co_return violation(std::string(leg.peer) + ": " + error.message());
      if (error)
        machine.end_of_stream();
      else
        machine.receive({leg.buffer.data(), count});
    } else if (auto *start = std::get_if<tds::StartTls>(&action)) {
      if (auto failure = co_await start_tls(*start)) co_return std::unexpected(std::move(*failure));
      machine.tls_established();
    } else if (std::holds_alternative<tds::StopTls>(action)) {
      if (leg.stream.pending() > 0) co_return violation(std::string(leg.bytes_before_stop));
      leg.stream.stop_tls();
    } else {
      co_return std::move(action);
    }
  }
}

} // namespace shim

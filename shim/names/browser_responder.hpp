// SQL Browser of our own (UDP): an application that is told to connect to localhost\INSTANCE finds the
// listener that stands for it.
#pragma once

#include "config/config.hpp"
#include "shim/transport/task.hpp"
#include "tds/ssrp.hpp"

#include <expected>

namespace shim {

/// What is sent to whoever sends `datagram`: the one instance that is asked for, or all of them; empty where
/// nothing is said (an instance that there is not, another message). Pure.
tds::Bytes answer_of(tds::ByteView datagram, const std::vector<tds::SsrpInstance> &instances);

/// Answers until it is destroyed, which is to be on the executor's thread, or when that runs no more.
class BrowserResponder {
public:
  /// Binds the socket and begins to answer as soon as the executor runs. Error: a sentence
  /// (the address is in use, …).
  static std::expected<std::unique_ptr<BrowserResponder>, std::string>
  open(Executor executor, const config::Address &address, std::vector<tds::SsrpInstance> instances);
  ~BrowserResponder();
  BrowserResponder(const BrowserResponder &) = delete;
  BrowserResponder &operator=(const BrowserResponder &) = delete;

  std::string address() const; ///< "127.0.0.1:1434", with the port that was bound

private:
  struct State;
  explicit BrowserResponder(std::shared_ptr<State> state);
  static Task<> serve(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

} // namespace shim

#include "shim/names/browser_responder.hpp"

#include "auth/host_name.hpp"
#include "shim/transport/connect.hpp"

#include <algorithm>

namespace shim {
namespace {

using Udp = asio::ip::udp;
constexpr std::size_t longest_question =
    64; // bytes: 04, a name of 32, NUL; what is longer is cut, and is no name then

} // namespace

struct BrowserResponder::State {
  asio::basic_datagram_socket<Udp, Executor> socket;
  std::vector<tds::SsrpInstance> instances;
  bool over = false;
};

tds::Bytes answer_of(tds::ByteView datagram, const std::vector<tds::SsrpInstance> &instances) {
  const auto asked = tds::decode_ssrp_question(datagram);
  if (!asked) return {};
  const auto *one = std::get_if<tds::AskInstance>(&*asked);
  std::vector<tds::SsrpInstance> told;
  for (const auto &instance : instances)
    if (!one || auth::lower(instance.instance) == auth::lower(one->instance)) told.push_back(instance);
  if (told.empty()) return {};
  return tds::encode_ssrp_answer(told);
}

std::expected<std::unique_ptr<BrowserResponder>, std::string>
BrowserResponder::open(Executor executor, const config::Address &address,
                       std::vector<tds::SsrpInstance> instances) {
  boost::system::error_code error;
  const Udp::endpoint place(asio::ip::make_address(address.ip, error), address.port);
  auto state =
      std::make_shared<State>(asio::basic_datagram_socket<Udp, Executor>(executor), std::move(instances));
  if (!error) state->socket.open(place.protocol(), error);
  if (!error) state->socket.bind(place, error);
  if (error) return std::unexpected("cannot listen on " + address.text() + " (UDP): " + error.message());
  asio::co_spawn(executor, serve(state), asio::detached);
  return std::unique_ptr<BrowserResponder>(new BrowserResponder(std::move(state)));
}

BrowserResponder::BrowserResponder(std::shared_ptr<State> state) : state_(std::move(state)) {}

BrowserResponder::~BrowserResponder() {
  state_->over = true;
  boost::system::error_code ignored;
  state_->socket.close(ignored);
}

std::string BrowserResponder::address() const {
  boost::system::error_code error;
  const auto place = state_->socket.local_endpoint(error);
  return to_text(asio::ip::tcp::endpoint(place.address(), place.port()));
}

Task<> BrowserResponder::serve(std::shared_ptr<State> state) {
  tds::Bytes question(longest_question);
  Udp::endpoint from;
  while (!state->over) {
    auto [error, count] = co_await state->socket.async_receive_from(asio::buffer(question), from, as_result);
    if (state->over || error == asio::error::operation_aborted) co_return;
    if (error) continue; // of an answer before, which reached nobody
    const auto answer = answer_of(tds::ByteView(question).first(count), state->instances);
    if (!answer.empty()) co_await state->socket.async_send_to(asio::buffer(answer), from, as_result);
  }
}

} // namespace shim

#include "shim/transport/task.hpp"

namespace shim {

using namespace asio::experimental::awaitable_operators;

Task<> stop_if_cancelled() {
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
}

Task<std::size_t> detail::race(Task<> a, Task<> b) {
  const auto first = co_await (std::move(a) || std::move(b));
  co_return first.index();
}

Task<bool> detail::ends_within(Task<> task, Millis limit) {
  Timer timer(co_await asio::this_coro::executor, limit);
  const auto first = co_await (std::move(task) || timer.async_wait(as_result));
  co_return first.index() == 0;
}

} // namespace shim

#include "tools/lab/front.hpp"

#include "tools/lab/files.hpp"

#include <fmt/format.h>

namespace lab {

void listen(FrontAcceptor &acceptor, const std::string &who, const std::string &address, std::uint16_t port) {
  const asio::ip::tcp::endpoint place{asio::ip::make_address(address), port};
  boost::system::error_code error;
  acceptor.open(place.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(place, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) throw LabError(fmt::format("{} on {}:{}: {}", who, address, port, error.message()));
}

} // namespace lab

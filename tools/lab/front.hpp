// What stands in front of a real part, on a port of its own: where it listens.
#pragma once

#include "shim/transport/task.hpp"

#include <cstdint>
#include <string>

namespace lab {

using FrontAcceptor = asio::basic_socket_acceptor<asio::ip::tcp, shim::Executor>;

/// Listens at `address`:`port` (0: the kernel chooses). Throws LabError, which names `who`, where it cannot.
void listen(FrontAcceptor &acceptor, const std::string &who, const std::string &address, std::uint16_t port);

} // namespace lab

// What the service manager that started the process hears of it.
#pragma once

#include <string>
#include <string_view>

namespace shim {

/// Sends `state` ("READY=1", "STOPPING=1\nSTATUS=…": sd_notify(3)) to the socket that NOTIFY_SOCKET names, a
/// path or "@" and an abstract name, as one datagram; waits at most a second for room. Without that variable
/// nobody is told. Empty: done; else why not, which is no reason not to serve.
std::string tell_service_manager(std::string_view state);

} // namespace shim

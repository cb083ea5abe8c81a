// libkrb5's trace, fit for a log.
#pragma once

#include <string>
#include <string_view>

namespace auth {

/// A line of the trace without what helps to guess a password offline: bytes in hexadecimal (libkrb5 writes
/// out the encrypted timestamp, and SPAKE's shared secret) become "(56 bytes)", and the hash behind a key's
/// type ("aes256-cts/7277", 16 bits of it) goes. Line ends at its end go too.
std::string loggable_trace(std::string_view line);

} // namespace auth

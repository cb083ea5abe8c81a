// One message to a KDC and its answer, over TCP (RFC 4120 7.2.2: 4 bytes of length, big-endian, before each).
#pragma once

#include "auth/exchange.hpp"
#include "shim/net/task.hpp"

#include <expected>
#include <string>
#include <vector>

namespace shim {

/// One place where a KDC of the realm listens. `name` is as krb5.conf says it.
struct KdcEndpoint {
  std::string name;
  asio::ip::tcp::endpoint endpoint;
};

struct KdcAnswer {
  auth::Bytes message;
  std::string kdc; ///< who answered
};

inline constexpr std::size_t largest_kdc_reply = 1024 * 1024; ///< bytes

/// Connections are raced: the next KDC is tried when the one before failed or stayed silent. Requests are not: a message with `proof` is sent to the first
/// KDC that takes the connection and to no other, whatever happens then (two at once count a wrong password twice); one without goes to the next after
/// 400 ms of silence. Error: what each KDC did, "127.0.0.1:88: Connection refused; …".
Task<std::expected<KdcAnswer, std::string>> ask_kdc(std::vector<KdcEndpoint> kdcs, auth::Bytes message, bool proof,
                                                    Millis limit);

} // namespace shim

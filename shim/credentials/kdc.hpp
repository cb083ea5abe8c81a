// One message to a KDC and its answer, over TCP (RFC 4120 7.2.2: 4 bytes of length, big-endian, before each).
#pragma once

#include "auth/exchange.hpp"
#include "shim/transport/task.hpp"

#include <expected>
#include <string>
#include <vector>

namespace shim {

/// One place where a KDC of the realm listens. `name` is as krb5.conf, sssd or DNS says it.
struct KdcEndpoint {
  std::string name;
  asio::ip::tcp::endpoint endpoint;
};

/// A KDC that was tried and gave no answer.
struct KdcSilent {
  asio::ip::tcp::endpoint endpoint;
  std::string why;     ///< "Connection refused", "no answer within 400 ms", …
  std::int64_t us = 0; ///< from the first try of it
};
/// "127.0.0.1:88: Connection refused; …"
std::string to_text(const std::vector<KdcSilent> &silent);

struct KdcAnswer {
  auth::Bytes message;
  asio::ip::tcp::endpoint endpoint;   ///< who answered
  std::vector<KdcSilent> silent = {}; ///< who was tried before, in that order
};

inline constexpr std::size_t largest_kdc_reply = 1024 * 1024; ///< bytes

/// Connections are raced: the next KDC is tried when the one before failed or stayed silent. Requests are
/// not: a message with `proof` is sent to the first KDC that takes the connection and to no other, whatever
/// happens then (two at once count a wrong password twice); one without goes to the next after 400 ms of
/// silence. Error: what each KDC that was tried did; empty where there was none to try.
Task<std::expected<KdcAnswer, std::vector<KdcSilent>>> ask_kdc(std::vector<KdcEndpoint> kdcs,
                                                               auth::Bytes message, bool proof, Millis limit);

/// The first of the KDCs that answers `message` over UDP at all (with a KRB-ERROR or a reply, RFC 4120 7.2.1,
/// from its own address); nullopt: none did within `limit`. All are asked at once, so the message must hold
/// no proof. What they say is dropped: it only tells that TCP alone is blocked.
Task<std::optional<asio::ip::tcp::endpoint>> answers_over_udp(std::vector<KdcEndpoint> kdcs,
                                                              auth::Bytes message, Millis limit);

} // namespace shim

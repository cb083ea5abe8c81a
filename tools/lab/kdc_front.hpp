// A TCP port in front of a real KDC that misbehaves: for what no real KDC does when it is asked to.
#pragma once

#include "tds/bytes.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace lab {

struct KdcFrontOptions {
  std::string address;    ///< to listen on
  std::uint16_t port = 0; ///< 0: the kernel chooses
  std::string kdc_address;
  std::uint16_t kdc_port = 88;

  enum class Manner {
    answers,
    hangs,  ///< takes connections and requests, and says nothing
    resets, ///< sends the first bytes of the answer, then a reset
  } manner = Manner::answers;
  std::chrono::milliseconds delay{0}; ///< before each answer
  /// What the client gets for `request` where the KDC answered `reply` (both without their length
  /// in front). Null: the reply.
  std::function<tds::Bytes(tds::ByteView request, tds::Bytes reply)> change = {};
};

/// Serves on a thread of its own until destruction. Throws LabError when the port cannot be opened.
class KdcFront {
public:
  using Change = decltype(KdcFrontOptions::change);
  explicit KdcFront(KdcFrontOptions options);
  ~KdcFront();
  KdcFront(const KdcFront &) = delete;
  KdcFront &operator=(const KdcFront &) = delete;

  std::uint16_t port() const;
  std::string place() const; ///< "127.A.B.3:40001"
  int requests() const;      ///< that came so far
  /// From the next request on.
  void set_manner(KdcFrontOptions::Manner manner);

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace lab

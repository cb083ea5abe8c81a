// What a peer saw of one connection, in files that others read while it lives:
//
//   NNNN.wire.bin  bytes of the client as on the wire
//   NNNN.tds.bin   the same after TLS, without its handshake (equal where there is none)
//   NNNN.json      the facts so far; replaced as a whole, so that a reader never finds half of it
//
// Bytes are written when they arrive, unbuffered, and before they are answered.
#pragma once

#include "tools/lab/files.hpp"

#include "tds/bytes.hpp"

#include <nlohmann/json.hpp>

namespace lab {

class Recorder {
public:
  /// `folder` empty: records nothing. `number` is that of the connection, from 1.
  Recorder(const fs::path &folder, int number);
  ~Recorder();
  Recorder(const Recorder &) = delete;
  Recorder &operator=(const Recorder &) = delete;

  void received(tds::ByteView bytes);   ///< from the wire
  void understood(tds::ByteView bytes); ///< of TDS
  /// Adds or replaces a fact and writes N.json.
  void fact(const std::string &name, nlohmann::json value);
  /// Several at once.
  void facts(const nlohmann::json &object);

  /// The number of the next connection, where earlier peers have already written into `folder`.
  static int next_number(const fs::path &folder);

private:
  void save() const;

  fs::path base_; // folder/NNNN
  nlohmann::json facts_ = nlohmann::json::object();
  int wire_ = -1;
  int tds_ = -1;
};

} // namespace lab

// Collects what a request is answered with, and knows how statements end.
#pragma once

#include "tools/lab/peer/sql/parameter.hpp"
#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/session.hpp"

#include <chrono>
#include <variant>

namespace lab {

/// Rows of the generator. The connection makes them in pieces, so that an attention stops it.
struct GeneratedRows {
  std::uint64_t count = 0;
  std::size_t bytes = 0;
};
/// The chunks of a VARBINARY(max), in pieces likewise.
struct GeneratedChunks {
  std::uint64_t bytes = 0;
};
struct Wait {
  std::chrono::milliseconds time{};
};
/// Until that many connections of the session's application are at one, this one among them.
struct Meet {
  std::size_t connections = 0;
};
/// The steps of one reply message, in their order.
using AnswerStep = std::variant<tds::Bytes, GeneratedRows, GeneratedChunks, Wait, Meet>;
using Answer = std::vector<AnswerStep>;

/// DONE's CurCmd.
enum class Command : std::uint16_t {
  none = 0,
  select = 0xC1,
  insert = 0xC3,
  del = 0xC4,
  update = 0xC5,
  bulk = 0xF0
};

/// An ERROR or INFO of the lab's server.
tds::ServerMessage server_message(const Session &session, std::uint32_t number, std::uint8_t severity,
                                  std::string_view text, std::uint8_t state = 1);
/// ERROR and the last DONE.
tds::Bytes error_reply(const Session &session, std::uint32_t number, std::uint8_t severity,
                       std::string_view text);

class Reply {
public:
  /// `in_procedure`: statements end with DONEINPROC instead of DONE.
  Reply(Session &session, bool in_procedure) : session_(session), in_procedure_(in_procedure) {}

  void token(const tds::Token &token);
  /// An ERROR, or an INFO up to severity 10.
  void message(const Refusal &refusal);
  /// A result set and its end.
  void rows(const RowSet &rows);
  void generated(GeneratedRows rows);
  /// One row, whose only column is a VARBINARY(max) of that many bytes.
  void generated(GeneratedChunks chunks);
  void wait(Wait wait) { step(wait), end(); }
  void meet(Meet meet) { step(meet), end(); }
  /// COLMETADATA alone, for cursors.
  void columns(const std::vector<Column> &columns);
  /// The end of one statement. The last of a batch loses its MORE bit in finish().
  void end(Command command = Command::none, std::optional<std::uint64_t> count = {});
  /// The end of a procedure that was called by RPC; those of its parameters that are OUTPUT come back.
  void end_procedure(std::int32_t status, const Parameters &parameters, bool more);
  Answer finish();

private:
  tds::Writer &content();
  void step(AnswerStep step);
  void flush_done(bool more);
  void flush();

  Session &session_;
  bool in_procedure_;
  bool failed_ = false;
  tds::Writer out_;
  std::optional<tds::Done> done_; // kept back until it is known whether more follows
  Answer steps_;
};

} // namespace lab

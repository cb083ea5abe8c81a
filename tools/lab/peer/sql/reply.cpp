#include "tools/lab/peer/sql/reply.hpp"

#include <algorithm>

namespace lab {
namespace {

constexpr std::uint8_t token_returnstatus = 0x79;
constexpr std::uint8_t token_returnvalue = 0xAC;
constexpr std::size_t piece = 64 * 1024; ///< of a long result: an attention is looked for between two

} // namespace

tds::ServerMessage server_message(const Session &session, std::uint32_t number, std::uint8_t severity,
                                  std::string_view text, std::uint8_t state) {
  return {.error = severity > 10,
          .number = number,
          .state = state,
          .severity = severity,
          .text = tds::to_utf16(text),
          .server = tds::to_utf16(session.server_name),
          .procedure = {},
          .line = 1};
}

tds::Bytes error_reply(const Session &session, std::uint32_t number, std::uint8_t severity,
                       std::string_view text) {
  return tds::encode_tokens({server_message(session, number, severity, text),
                             tds::Done{tds::DoneKind::done, tds::done_error, 0, 0}},
                            session.version);
}

void Reply::token(const tds::Token &token) { tds::encode_token(content(), token, session_.version); }

void Reply::message(const Refusal &refusal) {
  auto message = server_message(session_, refusal.number, refusal.severity, refusal.text, refusal.state);
  if (refusal.line > 0) message.line = refusal.line;
  message.procedure = tds::to_utf16(refusal.procedure);
  token(message);
  if (!message.error) return;
  session_.last_error = refusal.number;
  failed_ = true;
}

void Reply::columns(const std::vector<Column> &columns) {
  append_columns(content(), columns, session_.version);
}

void Reply::rows(const RowSet &rows) {
  columns(rows.columns);
  const auto count = session_.format_only ? 0 : rows.rows.size();
  for (std::size_t index = 0; index < count; ++index) {
    append_row(out_, rows.columns, rows.rows[index], session_.version);
    if (out_.size() > piece) flush();
  }
  end(Command::select, count);
}

void Reply::generated(GeneratedRows rows) {
  if (session_.format_only) rows.count = 0;
  columns(generated_columns(rows.bytes));
  step(rows);
  end(Command::select, rows.count);
}

void Reply::generated(GeneratedChunks chunks) {
  const std::vector<Column> blob = {{.name = "blob", .type = declared_type("varbinary", {"max"})}};
  if (!session_.version.at_least_7_2()) // IMAGE has no chunks: one value, which an attention cannot cut
    return rows({blob, {{tds::Bytes(std::min<std::uint64_t>(chunks.bytes, 16 * 1024 * 1024), 'b')}}});
  columns(blob);
  constexpr std::uint8_t row = 0xD1;
  constexpr std::uint64_t unknown_length = ~std::uint64_t{1};
  out_.u8(row);
  out_.u64_le(unknown_length);
  step(chunks);
  out_.u32_le(0); // the last chunk
  end(Command::select, 1);
}

void Reply::end(Command command, std::optional<std::uint64_t> count) {
  content();
  if (count) session_.row_count = static_cast<std::int64_t>(*count);
  if (!failed_) session_.last_error = 0;
  const bool counted = count && !session_.no_count;
  done_ = tds::Done{in_procedure_ ? tds::DoneKind::doneinproc : tds::DoneKind::done,
                    static_cast<std::uint16_t>(counted ? tds::done_count : 0),
                    static_cast<std::uint16_t>(command), counted ? *count : 0};
}

void Reply::end_procedure(std::int32_t status, const Parameters &parameters, bool more) {
  content().u8(token_returnstatus);
  out_.u32_le(static_cast<std::uint32_t>(status));
  std::uint16_t ordinal = 0;
  for (const auto &parameter : parameters) {
    const auto here = ordinal++;
    if (!parameter.output) continue;
    auto value = value_for(parameter.value, session_.version);
    if (value.type.pointed()) { // no RETURNVALUE is of TEXT or its like
      const auto type = declared_type(value.type.wide()    ? "nvarchar"
                                      : value.type.bytes() ? "varbinary"
                                                           : "varchar",
                                      {session_.version.at_least_7_2() ? "max"
                                       : value.type.wide()             ? "4000"
                                                                       : "8000"});
      if (value.data && !type.chunked())
        value.data->resize(std::min<std::size_t>(value.data->size(), type.size));
      value.type = type;
    }
    out_.u8(token_returnvalue);
    out_.u16_le(here);
    append_b_varchar(out_, parameter.name);
    out_.u8(0x01); // an OUTPUT parameter
    append_user_type(out_, session_.version);
    append_type(out_, value.type, session_.version);
    append_data(out_, value.type, value.data, Place::parameter);
  }
  done_ = tds::Done{tds::DoneKind::doneproc, 0, 0, 0};
  flush_done(more);
}

Answer Reply::finish() {
  if (!done_ && steps_.empty() && out_.size() == 0) done_ = tds::Done{};
  if (!done_ && failed_) done_ = tds::Done{};
  flush_done(false);
  flush();
  return std::move(steps_);
}

/// Where the next statement writes: what it writes shows that the DONE before it was not the last.
tds::Writer &Reply::content() {
  flush_done(true);
  return out_;
}

void Reply::step(AnswerStep step) {
  content();
  flush();
  steps_.push_back(std::move(step));
}

void Reply::flush_done(bool more) {
  if (!done_) return;
  if (more) done_->status |= tds::done_more;
  if (std::exchange(failed_, false)) done_->status |= tds::done_error;
  tds::encode_token(out_, *done_, session_.version);
  done_.reset();
}

void Reply::flush() {
  if (out_.size() > 0) steps_.push_back(std::exchange(out_, tds::Writer()).bytes());
}

} // namespace lab

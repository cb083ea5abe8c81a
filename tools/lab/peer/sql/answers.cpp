#include "tools/lab/peer/sql/answers.hpp"

#include "tools/lab/peer/sql/procedures.hpp"
#include "tools/lab/peer/sql/statements.hpp"
#include "tools/lab/peer/sql/transactions.hpp"

#include <fmt/format.h>

namespace lab {
namespace {

/// ALL_HEADERS (MS-TDS 2.2.5.3), which precede every request since TDS 7.2.
void skip_headers(tds::Reader &in, const Session &session) {
  if (!session.version.at_least_7_2()) return;
  const auto total = need(in.u32_le("TotalLength"));
  if (total < 4)
    throw Refusal{.text =
                      "the lab cannot read this request: ALL_HEADERS is shorter than its own length field"};
  need(in.take(total - 4, "Headers"));
}

std::string read_procedure_name(tds::Reader &in) {
  const auto units = need(in.u16_le("NameLength"));
  if (units != 0xFFFF) return tds::to_utf8(need(in.utf16(units, "ProcName")));
  return std::string(procedure_name(need(in.u16_le("ProcID"))));
}

/// Between two calls in a message: 0xFF since TDS 7.2, 0x80 before; 0xFE where the next one
/// must not run after an error.
bool is_separator(std::uint8_t byte, const Session &session) {
  return session.version.at_least_7_2() ? byte == 0xFF || byte == 0xFE : byte == 0x80;
}

} // namespace

Answer answer_batch(tds::ByteView payload, Session &session) {
  Reply reply(session, false);
  try {
    tds::Reader in(payload, "SQLBatch");
    skip_headers(in, session);
    if (in.left() % 2)
      throw Refusal{.text = "the lab cannot read this request: the text has half a character"};
    const auto sql = tds::to_utf8(need(in.utf16(in.left() / 2, "SQLText")));
    Parameters variables;
    answer_statements(sql, variables, session, reply);
  } catch (const Refusal &refusal) {
    reply.message(refusal);
  }
  return reply.finish();
}

Answer answer_rpc(tds::ByteView payload, Session &session) {
  Reply reply(session, true);
  try {
    tds::Reader in(payload, "RPC");
    skip_headers(in, session);
    do { // a message may hold several calls (jTDS executeBatch), and each has its own reply
      const auto name = read_procedure_name(in);
      need(in.u16_le("OptionFlags"));
      Parameters arguments;
      while (in.left() > 0 && !is_separator(in.rest()[0], session))
        arguments.push_back(read_parameter(in, session.version));
      const bool separated = in.left() > 0 && need(in.u8("BatchFlag"));
      const bool more = separated && in.left() > 0;
      try {
        const auto status = call_procedure(reply, name, arguments, session);
        reply.end_procedure(status, arguments, more);
      } catch (const Refusal &refusal) {
        reply.message(refusal);
        reply.end_procedure(1, {}, more);
      }
    } while (in.left() > 0);
  } catch (const Refusal &refusal) {
    reply.message(refusal);
  }
  return reply.finish();
}

Answer answer_transaction(tds::ByteView payload, Session &session) {
  constexpr std::uint16_t request_begin = 5, request_commit = 7, request_rollback = 8, request_save = 9;
  Reply reply(session, false);
  try {
    tds::Reader in(payload, "TransactionManagerRequest");
    skip_headers(in, session);
    const auto name = [&] {
      const auto bytes = need(in.u8("Name length"));
      return tds::to_utf8(need(in.utf16(bytes / 2, "Name")));
    };
    const auto request = need(in.u16_le("RequestType"));
    if (request == request_begin) {
      begin_transaction(reply, session);
    } else if (request == request_commit || request == request_rollback) {
      const auto which = name();
      request == request_commit ? commit_transaction(reply, session)
                                : roll_back_transaction(reply, session, which);
      if (in.left() > 0 && (need(in.u8("Flags")) & 0x01))
        begin_transaction(reply, session); // fBeginXact: the next at once
    } else if (request == request_save) {
      save_transaction(session, name());
    } else {
      throw Refusal{.text = fmt::format("the lab does not know transaction request {}", request)};
    }
    reply.end();
  } catch (const Refusal &refusal) {
    reply.message(refusal);
  }
  return reply.finish();
}

Answer answer_bulk(tds::ByteView payload, Session &session) {
  Reply reply(session, false);
  try {
    reply.end(Command::bulk, load_bulk(payload, session));
  } catch (const Refusal &refusal) {
    reply.message(refusal);
  }
  return reply.finish();
}

tds::Bytes answer_attention(const Session &session) {
  return tds::encode_tokens({tds::Done{tds::DoneKind::done, tds::done_attention, 0, 0}}, session.version);
}

} // namespace lab

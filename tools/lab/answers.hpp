// What the peer answers after login. Pure: the bytes of a request and the facts of its session give the steps of a reply.
//
// Batches are read as statements, each looked up by its first words:
//
//   SELECT expression [AS name], …          literals, + - *, @parameters, @@VERSION @@SPID @@SERVERNAME @@TRANCOUNT …, APP_NAME()
//     [FROM sys.dm_exec_connections |       HOST_NAME() SUSER_SNAME() DB_NAME() SCHEMA_NAME() SERVERPROPERTY('…')
//           sys.dm_exec_sessions]           CONNECTIONPROPERTY('…') CAST(… AS type); columns of the two views
//     [WHERE a = b [AND …]]
//   SET …, USE db, PRINT 'text', BEGIN | COMMIT | ROLLBACK | SAVE TRAN, IF | WHILE @@TRANCOUNT > 0 …, INSERT BULK …
//   WAITFOR DELAY 'hh:mm:ss'                until then, or until the client's attention
//   EXEC lab_rows N [, BYTES]               N generated rows: n INT, filler VARCHAR(BYTES)
//   EXEC lab_error NUMBER, CLASS, 'text'    that error
//   EXEC lab_echo value, …                  one row of its arguments
//
// RPCs: the same procedures by name, and sp_executesql, sp_prepare, sp_prepexec, sp_execute, sp_unprepare, whose statement is
// answered like a batch with its parameters known as @name. lab_echo sends parameters back with the type and bytes they came in.
#pragma once

#include "tools/lab/session.hpp"

#include <chrono>

namespace lab {

/// Rows of the generator. The connection makes them in pieces, so that an attention stops it.
struct GeneratedRows {
  std::uint64_t count = 0;
  std::size_t bytes = 0;
};
struct Wait {
  std::chrono::milliseconds time{};
};
/// The steps of one reply message, in their order.
using AnswerStep = std::variant<tds::Bytes, GeneratedRows, Wait>;
using Answer = std::vector<AnswerStep>;

/// `payload` is that of the client's message, ALL_HEADERS included where its version has them. None of these fails: what the lab
/// does not know or cannot read is answered with an ERROR of class 16.
Answer answer_batch(tds::ByteView payload, Session &session);
Answer answer_rpc(tds::ByteView payload, Session &session);
Answer answer_transaction(tds::ByteView payload, Session &session);
/// The rows of a bulk load, which are counted as nothing and thrown away.
tds::Bytes answer_bulk(const Session &session);
/// DONE that acknowledges an attention.
tds::Bytes answer_attention(const Session &session);

/// An ERROR or INFO of the lab's server.
tds::ServerMessage server_message(const Session &session, std::uint32_t number, std::uint8_t severity,
                                  std::string_view text, std::uint8_t state = 1);
/// ERROR and the last DONE.
tds::Bytes error_reply(const Session &session, std::uint32_t number, std::uint8_t severity, std::string_view text);

} // namespace lab

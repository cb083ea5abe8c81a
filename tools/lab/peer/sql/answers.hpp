// What the peer answers after login. Pure: the bytes of a request and the facts of its session
// give the steps of a reply.
//
// Batches are read as statements, each looked up by its first word:
//
//   SELECT …                                one table or none (query.hpp); sys.dm_exec_connections,
//                                           sys.dm_exec_sessions and the other views of catalog.hpp; the
//                                           @@variables, functions and properties of facts.hpp
//   CREATE | DROP | TRUNCATE TABLE, INSERT, UPDATE, DELETE (table_statements.hpp)
//   INSERT BULK with the rows behind it (bulk.hpp)
//   DECLARE, SET @v = …, SET …, USE db, IF … ELSE, WHILE, BEGIN … END, RETURN
//   BEGIN TRY … END TRY BEGIN CATCH … END CATCH
//   PRINT 'text', RAISERROR('text', severity, state), THROW number, 'text', state
//   BEGIN | COMMIT | ROLLBACK | SAVE TRAN; implicit transactions
//   WAITFOR DELAY 'hh:mm:ss'                until then, or until the client's attention
//   EXEC ('text'), EXEC procedure …, of which these are the lab's own:
//     lab_rows N [, BYTES]                  N generated rows: n INT, filler VARCHAR(BYTES)
//     lab_blob BYTES                        one VARBINARY(max) of that size
//     lab_meet N                            waits until N connections of this APP_NAME() are at such a call,
//                                           or until the client's attention
//     lab_types [1]                         a column of each SQL type; with 1, all NULL
//     lab_error NUMBER, CLASS, 'text' [, STATE, LINE, 'PROC']
//     lab_echo value, …                     one row of its arguments, of the types that they came in
//     lab_output value OUTPUT, …            numbers doubled, text and bytes reversed; the return
//                                           status counts them
//     lab_return N                          that return status
//
// RPCs: the same procedures by name, sp_executesql, sp_prepare, sp_prepexec, sp_execute, sp_unprepare, the
// cursor procedures (cursor.hpp), and the metadata that drivers ask for (catalog.hpp).
#pragma once

#include "tools/lab/peer/sql/reply.hpp"

namespace lab {

/// `payload` is that of the client's message, ALL_HEADERS included where its version has them. None of these
/// fails: what the lab does not know or cannot read is answered with an ERROR of class 16.
Answer answer_batch(tds::ByteView payload, Session &session);
Answer answer_rpc(tds::ByteView payload, Session &session);
Answer answer_transaction(tds::ByteView payload, Session &session);
/// The rows that INSERT BULK announced.
Answer answer_bulk(tds::ByteView payload, Session &session);
/// DONE that acknowledges an attention.
tds::Bytes answer_attention(const Session &session);

} // namespace lab

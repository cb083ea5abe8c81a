// Transactions: their count, what ENVCHANGE says of them, and what their end does to tables.
#pragma once

#include "tools/lab/peer/sql/reply.hpp"

namespace lab {

void begin_transaction(Reply &reply, Session &session);
/// A statement that touches a table begins one where SET IMPLICIT_TRANSACTIONS asks for that.
void begin_implicitly(Reply &reply, Session &session);
/// Throws Refusal 3902 where none is open.
void commit_transaction(Reply &reply, Session &session);
/// To a savepoint, or with an empty name (or one that is no savepoint, but the transaction's) all
/// of it. Throws Refusal 3903.
void roll_back_transaction(Reply &reply, Session &session, std::string_view savepoint = {});
void save_transaction(Session &session, std::string savepoint);

} // namespace lab

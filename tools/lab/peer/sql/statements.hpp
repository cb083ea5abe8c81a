// Batches: their statements one after another, each looked up by its first word.
#pragma once

#include "tools/lab/peer/sql/reply.hpp"

namespace lab {

/// Answers all statements of `sql`; an error ends it, and is part of the reply. `variables`: parameters,
/// which statements may change. Gives what RETURN says, else 0.
std::int32_t answer_statements(std::string_view sql, Parameters &variables, Session &session, Reply &reply);

/// The rows of `sql` where it is one SELECT, for a cursor; none for anything else. Throws Refusal.
std::optional<RowSet> answer_query(std::string_view sql, Parameters &variables, Session &session,
                                   Reply &reply);

} // namespace lab

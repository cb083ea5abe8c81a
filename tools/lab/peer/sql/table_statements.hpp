// What changes tables. Each function reads on from behind the statement's first word, and does what
// it says where `run` is set.
#pragma once

#include "tools/lab/peer/sql/query.hpp"

namespace lab {

void create_statement(
    Statement &statement); ///< CREATE TABLE t (c type [IDENTITY] [NULL | NOT NULL] [PRIMARY KEY] …, …)
void drop_statement(Statement &statement);     ///< DROP TABLE [IF EXISTS] t, …
void truncate_statement(Statement &statement); ///< TRUNCATE TABLE t
/// INSERT [INTO] t [(c, …)] [OUTPUT INSERTED.c, …] VALUES (…), … | SELECT … | DEFAULT VALUES;
/// INSERT BULK t (…) [WITH (…)]
void insert_statement(Statement &statement);
void update_statement(Statement &statement); ///< UPDATE t SET c = …, … [WHERE …]
void delete_statement(Statement &statement); ///< DELETE [FROM] t [WHERE …]

} // namespace lab

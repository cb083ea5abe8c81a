#include "tools/lab/peer/sql/session.hpp"

namespace lab {

void reset(Session &session, bool keep_transaction) {
  if (!keep_transaction) {
    undo(session, "");
    session.undo.clear();
    session.transactions = 0;
    session.transaction = 0;
  }
  session.temporary->clear();
  session.prepared.clear();
  session.cursors.clear();
  session.bulk.reset();
  session.no_count = session.implicit_transactions = session.format_only = false;
  session.row_count = 0;
  session.last_error = 0;
  session.identity.reset();
}

} // namespace lab

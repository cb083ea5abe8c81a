#include "tools/lab/peer/sql/transactions.hpp"

namespace lab {
namespace {

constexpr std::uint8_t env_begin = 8;
constexpr std::uint8_t env_commit = 9;
constexpr std::uint8_t env_rollback = 10;

void env_transaction(Reply &reply, const Session &session, std::uint8_t type, std::uint64_t fresh,
                     std::uint64_t old) {
  if (!session.version.at_least_7_2()) return;
  const auto append = [](tds::Writer &out, std::uint64_t descriptor) {
    out.u8(descriptor ? 8 : 0);
    if (descriptor) out.u64_le(descriptor);
  };
  tds::Writer data;
  append(data, fresh);
  append(data, old);
  reply.token(tds::EnvChange{static_cast<tds::EnvChangeType>(type), std::move(data).bytes()});
}

void end(Reply &reply, Session &session, std::uint8_t type) {
  session.undo.clear();
  session.transactions = 0;
  env_transaction(reply, session, type, 0, session.transaction);
  session.transaction = 0;
}

} // namespace

void begin_transaction(Reply &reply, Session &session) {
  if (++session.transactions > 1) return;
  session.undo = {Undo{}};
  session.transaction = 0x0000003400000000u + session.spid;
  env_transaction(reply, session, env_begin, session.transaction, 0);
}

void begin_implicitly(Reply &reply, Session &session) {
  if (session.implicit_transactions && session.transactions == 0) begin_transaction(reply, session);
}

void commit_transaction(Reply &reply, Session &session) {
  if (session.transactions == 0)
    throw Refusal{.number = 3902,
                  .text = "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION."};
  if (session.transactions == 1) return end(reply, session, env_commit);
  --session.transactions;
}

void roll_back_transaction(Reply &reply, Session &session, std::string_view savepoint) {
  if (session.transactions == 0)
    throw Refusal{.number = 3903,
                  .text = "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION."};
  if (!savepoint.empty() && undo(session, savepoint)) return;
  undo(session, "");
  end(reply, session, env_rollback);
}

void save_transaction(Session &session, std::string savepoint) {
  constexpr std::size_t most = 1000;
  if (session.transactions == 0)
    throw Refusal{.number = 628,
                  .text = "Cannot issue SAVE TRANSACTION when there is no active transaction."};
  if (session.undo.size() >= most) throw Refusal{.text = "the lab keeps no more savepoints"};
  session.undo.push_back({.savepoint = std::move(savepoint)});
}

} // namespace lab

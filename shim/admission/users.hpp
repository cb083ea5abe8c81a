// Names and groups of users, from a database that may hang.
#pragma once

#include "shim/admission/caller.hpp"
#include "shim/transport/look_ups.hpp"

namespace shim {

/// Looks users up without ever blocking a worker thread. Thread-safe.
class Users : public LookUps<uid_t, Caller> {
public:
  explicit Users(LookUp look_up = look_up_user) : LookUps(std::move(look_up)) {}
};

} // namespace shim

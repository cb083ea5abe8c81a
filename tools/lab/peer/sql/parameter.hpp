// The parameters of a call or a statement, and its variables.
#pragma once

#include "tools/lab/peer/sql/value.hpp"

#include <vector>

namespace lab {

struct Parameter {
  std::string name; ///< with its @; empty where it came by position
  Value value;
  bool output = false; ///< comes back in a RETURNVALUE
};
using Parameters = std::vector<Parameter>;

/// One parameter of an RPC (MS-TDS 2.2.6.6). Throws Refusal.
Parameter read_parameter(tds::Reader &in, tds::Version version);

/// Null where there is none of that name.
Parameter *find_parameter(Parameters &parameters, std::string_view name);

/// Values passed by position take the names that the declaration ("@p1 int, @p2 nvarchar(10)") gives.
void name_parameters(Parameters &parameters, std::string_view declaration);

/// An argument as a whole number. Throws Refusal 8114 where it is none.
std::int64_t argument_number(const Parameters &arguments, std::size_t index, std::int64_t otherwise);
/// An argument as text. Throws Refusal 201 where it was not passed.
std::string argument_text(const Parameters &arguments, std::size_t index);
Parameters from(const Parameters &arguments, std::size_t first);

} // namespace lab

#include "tools/lab/peer/sql/parameter.hpp"

#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/sql_text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {

Parameter read_parameter(tds::Reader &in, tds::Version version) {
  constexpr std::uint8_t by_reference = 0x01, encrypted = 0x08;
  Parameter parameter;
  parameter.name = tds::to_utf8(need(in.utf16(need(in.u8("ParamName length")), "ParamName")));
  const auto flags = need(in.u8("StatusFlags"));
  if (flags & encrypted) throw Refusal{.text = "the lab does not take encrypted parameters"};
  parameter.output = flags & by_reference;
  parameter.value.type = read_type(in, version);
  parameter.value.data = read_data(in, parameter.value.type, Place::parameter);
  return parameter;
}

Parameter *find_parameter(Parameters &parameters, std::string_view name) {
  const auto found =
      std::ranges::find(parameters, lower_case(name), [](const Parameter &p) { return lower_case(p.name); });
  return found == parameters.end() ? nullptr : &*found;
}

void name_parameters(Parameters &parameters, std::string_view declaration) {
  std::vector<std::string> names;
  for (const auto &word : cut(declaration))
    if (word.kind == Word::Kind::name && word.text.starts_with('@')) names.push_back(word.text);
  for (std::size_t index = 0; index < parameters.size() && index < names.size(); ++index)
    if (parameters[index].name.empty()) parameters[index].name = names[index];
}

std::int64_t argument_number(const Parameters &arguments, std::size_t index, std::int64_t otherwise) {
  if (index >= arguments.size()) return otherwise;
  const auto value = number_of(arguments[index].value);
  if (!value)
    throw Refusal{.number = 8114, .text = fmt::format("argument {} must be a whole number", index + 1)};
  return *value;
}

std::string argument_text(const Parameters &arguments, std::size_t index) {
  if (index >= arguments.size())
    throw Refusal{.number = 201, .text = "Procedure or function expects a parameter which was not supplied."};
  return tds::to_utf8(text_of(arguments[index].value));
}

Parameters from(const Parameters &arguments, std::size_t first) {
  return first < arguments.size()
             ? Parameters(arguments.begin() + static_cast<std::ptrdiff_t>(first), arguments.end())
             : Parameters();
}

} // namespace lab

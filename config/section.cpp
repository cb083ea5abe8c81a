#include "config/section.hpp"

#include <algorithm>
#include <cassert>
#include <fmt/format.h>
#include <tuple>

namespace config {

namespace {

std::string_view article_and_type(const toml::node &node) {
  switch (node.type()) {
  case toml::node_type::table:
    return "a table";
  case toml::node_type::array:
    return "an array";
  case toml::node_type::string:
    return "a string";
  case toml::node_type::integer:
    return "an integer";
  case toml::node_type::floating_point:
    return "a number with a fraction";
  case toml::node_type::boolean:
    return "true or false";
  default:
    return "a date or time";
  }
}

} // namespace

std::vector<Problem> Report::sorted() && {
  std::ranges::stable_sort(problems_, {}, [](const Problem &p) { return std::tuple(p.line, p.column); });
  return std::move(problems_);
}

const toml::node *Section::find(std::string_view key) {
  assert(rows_.empty() || row(key));
  known_.insert(key);
  return table_.get(key);
}

std::optional<std::string> Section::string(std::string_view key) {
  const toml::node *node = find(key);
  if (!node) return std::nullopt;
  if (const auto text = node->value_exact<std::string>()) return text;
  problem(key, wrong_type(*node, key, "a string"));
  return std::nullopt;
}

std::optional<std::string> Section::string(const Element &element) {
  if (const auto text = element.node->value_exact<std::string>()) return text;
  problem(element,
          fmt::format("must be a string, not {}; put it in quotes", article_and_type(*element.node)));
  return std::nullopt;
}

const Key *Section::row(std::string_view key) const {
  const auto found = std::ranges::find(rows_, key, &Key::name);
  return found == rows_.end() ? nullptr : &*found;
}

std::optional<std::int64_t> Section::number(std::string_view key) {
  const toml::node *node = find(key);
  const auto [least, most] = row(key)->bounds;
  if (!node) return std::nullopt;
  const auto number = node->value_exact<std::int64_t>();
  if (!number)
    problem(key, wrong_type(*node, key, "an integer"));
  else if (*number < least || *number > most)
    problem(key, fmt::format("{} is out of range; write a number from {} to {}", *number, least, most));
  else
    return number;
  return std::nullopt;
}

std::optional<bool> Section::boolean(std::string_view key) {
  const toml::node *node = find(key);
  if (!node) return std::nullopt;
  if (const auto value = node->value_exact<bool>()) return value;
  problem(key, wrong_type(*node, key, "true or false"));
  return std::nullopt;
}

std::vector<Section::Element> Section::entries() {
  std::vector<Element> list;
  for (const auto &[key, node] : table_) {
    known_.insert(key.str());
    list.push_back({std::string(key.str()), &node});
  }
  std::ranges::sort(list, {}, [](const Element &element) {
    const Place place = Place::of(element.node->source());
    return std::pair(place.line, place.column);
  });
  return list;
}

std::optional<std::vector<Section::Element>> Section::elements(std::string_view key, bool one_will_do) {
  const toml::node *node = find(key);
  if (!node) return std::nullopt;
  std::vector<Element> list;
  if (const toml::array *array = node->as_array()) {
    for (const toml::node &element : *array)
      list.push_back({fmt::format("{}[{}]", key, list.size()), &element});
    return list;
  }
  if (one_will_do) {
    list.push_back({std::string(key), node});
    return list;
  }
  problem(key, wrong_type(*node, key, "an array"));
  return std::nullopt;
}

std::optional<Section> Section::section(std::string_view key) {
  const toml::node *node = find(key);
  if (!node) return std::nullopt;
  if (const toml::table *table = node->as_table()) return Section(report_, *table, full(key));
  problem(key, fmt::format("must be a table, not {}; write [{}]", article_and_type(*node), full(key)));
  return std::nullopt;
}

std::vector<Section> Section::sections(std::string_view key) {
  std::vector<Section> tables;
  const toml::node *node = find(key);
  if (!node) return tables;
  const toml::array *array = node->as_array();
  if (!array) {
    problem(key, fmt::format("there may be several of them; write [[{}]] with two brackets", key));
    return tables;
  }
  for (const toml::node &element : *array) {
    const std::string name = fmt::format("{}[{}]", full(key), tables.size());
    if (const toml::table *table = element.as_table())
      tables.emplace_back(report_, *table, name);
    else
      report_.problem(Place::of(element.source()), name,
                      fmt::format("must be a table, not {}; write [[{}]]", article_and_type(element), key));
  }
  return tables;
}

void Section::finish() {
  std::vector<std::string_view> names(known_.begin(), known_.end());
  for (const Key &key : rows_)
    if (!known_.contains(key.name)) names.push_back(key.name);
  for (const auto &[name, node] : table_) {
    const std::string_view written = name.str();
    if (known_.contains(written)) continue;
    std::string what = "unknown key";
    const auto hint = nearest(written, names);
    if (const Key *key = row(written); key && key->later)
      what = "not supported by this version; take it out";
    else if (hint)
      what += fmt::format("; did you mean \"{}\"?", *hint);
    else
      what += fmt::format("; known here: {}", fmt::join(known_, ", "));
    report_.problem(Place::of(name.source()), full(written), std::move(what));
  }
}

Place Section::place(std::string_view key) const {
  const toml::node *node = table_.get(key);
  return Place::of(node ? node->source() : table_.source());
}

std::string Section::no_such_word(std::string_view text, std::span<const std::string_view> words) {
  if (const auto hint = nearest(text, words))
    return fmt::format("\"{}\" is unknown; did you mean \"{}\"?", text, *hint);
  return fmt::format("\"{}\" is unknown; write {}\"{}\"", text, words.size() > 1 ? "one of " : "",
                     fmt::join(words, "\", \""));
}

std::string Section::full(std::string_view key) const {
  if (name_.empty()) return std::string(key);
  return key.empty() ? name_ : fmt::format("{}.{}", name_, key);
}

std::string Section::wrong_type(const toml::node &node, std::string_view key, std::string_view wanted) const {
  std::string what = fmt::format("must be {}, not {}", wanted, article_and_type(node));
  if (wanted == "an array" && node.is_string())
    what += fmt::format("; write {} = [\"{}\"]", key, node.ref<std::string>());
  if ((wanted == "an integer" || wanted == "true or false") && node.is_string())
    what += "; take the quotes away";
  if (wanted == "a string" && node.is_integer())
    what += fmt::format("; write {} = \"{}\"", key, node.ref<std::int64_t>());
  if (wanted == "a string" && node.is_array()) what += "; write one value, in quotes";
  return what;
}

} // namespace config

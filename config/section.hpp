// One table of the TOML file being read: typed values out, problems into a list, and at the end every
// key that nobody asked for.
#pragma once

#include "config/keys.hpp"
#include "config/load.hpp"
#include "config/toml.hpp"
#include "config/value.hpp"

#include <concepts>
#include <set>
#include <span>

namespace config {

class Report {
public:
  explicit Report(std::string file) : file_(std::move(file)) {}
  void problem(Place place, std::string key, std::string what) {
    add(place, std::move(key), std::move(what), false);
  }
  void warning(Place place, std::string key, std::string what) {
    add(place, std::move(key), std::move(what), true);
  }
  /// In the order of the file.
  std::vector<Problem> sorted() &&;

private:
  void add(Place place, std::string key, std::string what, bool warning) {
    problems_.push_back({file_, place.line, place.column, std::move(key), std::move(what), warning});
  }
  std::string file_;
  std::vector<Problem> problems_;
};

/// Every getter makes its key a known one. A value of another type, or one that its parser refuses, is a
/// problem; the getter then gives nothing and the default stays.
class Section {
public:
  /// `name` is how problems call the table: "route[0]", empty for the file itself.
  Section(Report &report, const toml::table &table, std::string name)
      : report_(report), table_(table), name_(std::move(name)), rows_(keys_of(table_of(name_))) {}

  /// The value of `key` whatever its type; null where it is not written.
  /// A key of a table with rows must have one.
  const toml::node *find(std::string_view key);
  bool has(std::string_view key) { return find(key) != nullptr; }
  /// Whether "" is written, which some keys take for their default.
  bool empty(std::string_view key) {
    const toml::node *node = find(key);
    return node && node->value_exact<std::string_view>() == "";
  }
  /// Whether `key` is written; does not make it a known one.
  bool written(std::string_view key) const { return table_.contains(key); }

  std::optional<std::string> string(std::string_view key);
  /// A string that `parse` makes a value of.
  template <class T> std::optional<T> value(std::string_view key, Parsed<T> (*parse)(std::string_view)) {
    const auto text = string(key);
    if (!text) return std::nullopt;
    auto parsed = parse(*text);
    if (parsed) return *std::move(parsed);
    problem(key, parsed.error());
    return std::nullopt;
  }
  /// An integer within the bounds of its row (config/keys).
  std::optional<std::int64_t> number(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  /// One of the words of `E`.
  template <auth::Spelled E> std::optional<E> word(std::string_view key) {
    const auto text = string(key);
    if (!text) return std::nullopt;
    if (const auto value = auth::meaning<E>(*text)) return value;
    std::vector<std::string_view> names;
    for (const auto &[value, name] : auth::words<E>)
      names.push_back(name);
    problem(key, no_such_word(*text, names));
    return std::nullopt;
  }

  // The value of `key` into `value`, which stays as it is where the key is not written, or wrongly.
  template <auth::Spelled E> void read(std::string_view key, E &value) {
    value = word<E>(key).value_or(value);
  }
  void read(std::string_view key, bool &value) { value = boolean(key).value_or(value); }
  template <std::integral T> void read(std::string_view key, T &value) {
    if (const auto written = number(key)) value = static_cast<T>(*written);
  }
  template <class T> void read(std::string_view key, T &value, Parsed<T> (*parse)(std::string_view)) {
    if (auto parsed = this->value(key, parse)) value = *std::move(parsed);
  }
  /// The elements of an array, each with the key that problems call it by ("callers[0]"); `one_will_do`: a
  /// single value counts as an array of one. nullopt: not written, or not an array (a problem then).
  struct Element {
    std::string key;
    const toml::node *node;
  };
  std::optional<std::vector<Element>> elements(std::string_view key, bool one_will_do = false);
  std::optional<std::string> string(const Element &element);
  /// Every key with its value, for a table whose keys are the user's own: all of them become known.
  /// In the order of the file.
  std::vector<Element> entries();
  /// A table below this one; nullopt where it is not written.
  std::optional<Section> section(std::string_view key);
  /// The tables of [[key]].
  std::vector<Section> sections(std::string_view key);

  /// Reports what nobody asked for. Call it last.
  void finish();

  /// Problems at the value of `key`; where it is not written, at the table's head.
  void problem(std::string_view key, std::string what) {
    report_.problem(place(key), full(key), std::move(what));
  }
  void warning(std::string_view key, std::string what) {
    report_.warning(place(key), full(key), std::move(what));
  }
  void warning(const Element &element, std::string what) {
    report_.warning(Place::of(element.node->source()), full(element.key), std::move(what));
  }
  void problem(const Element &element, std::string what) {
    report_.problem(Place::of(element.node->source()), full(element.key), std::move(what));
  }
  Place place(std::string_view key) const;
  const std::string &name() const { return name_; }

  static std::string no_such_word(std::string_view text, std::span<const std::string_view> words);

private:
  const Key *row(std::string_view key) const;
  std::string full(std::string_view key) const;
  std::string wrong_type(const toml::node &node, std::string_view key, std::string_view wanted) const;

  Report &report_;
  const toml::table &table_;
  std::string name_;
  std::span<const Key> rows_;        // none for tables whose keys are the user's own
  std::set<std::string_view> known_; // keys are literals of the loader, or the table's own
};

} // namespace config

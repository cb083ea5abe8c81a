#include "config/route_names.hpp"

#include "auth/driver.hpp"
#include "auth/host_name.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace config {
namespace {

/// An ordered list of words, each once. `all`: in the order in which the reference has them.
template <class Word>
void read_words(Section &section, std::string_view key, std::vector<Word> &list,
                std::optional<Word> (*find)(std::string_view), std::span<const Word> all) {
  const auto elements = section.elements(key);
  if (!elements) return;
  std::vector<std::string_view> words;
  for (const Word word : all)
    words.push_back(auth::to_string(word));
  if (elements->empty())
    section.problem(key, fmt::format("is empty; write one of {}, or take it out", fmt::join(words, ", ")));
  list.clear();
  for (const auto &element : *elements) {
    const auto text = section.string(element);
    if (!text) continue;
    const auto word = find(*text);
    if (!word)
      section.problem(element, Section::no_such_word(*text, words));
    else if (std::ranges::find(list, *word) != list.end())
      section.problem(element, fmt::format("\"{}\" stands here twice; take one out", *text));
    else
      list.push_back(*word);
  }
}

/// names = "driver:NAME", alone or as the only one of its list. Whether a driver is written at all.
bool read_driver(Section &section, auth::Procedures &names) {
  const auto written = [](const Section::Element &element) {
    const auto text = element.node->value_exact<std::string>();
    return text && text->starts_with(auth::driver_prefix);
  };
  const auto *node = section.find("names");
  if (!node || (!node->is_array() && !written({"names", node})))
    return false; // of another type: read_words says so
  const auto elements = section.elements("names", /*one_will_do=*/true);
  const auto element = std::ranges::find_if(*elements, written);
  if (element == elements->end()) return false;
  const auto id = element->node->value_exact<std::string>()->substr(auth::driver_prefix.size());
  std::vector<std::string_view> known;
  for (const auto &driver : auth::drivers())
    known.push_back(driver.id);
  if (elements->size() > 1)
    section.problem(*element,
                    "a driver has a name for every target, and never asks another procedure; write it alone");
  else if (!auth::find_driver(id))
    section.problem(*element, Section::no_such_word(id, known));
  else
    names = {.order = {auth::Procedure::as_typed}, .map = {}, .driver = id};
  return true;
}

void read_map_rule(Section &section, std::vector<auth::MapRule> &rules) {
  for (const std::string_view key : {"from", "to"})
    if (!section.has(key))
      section.problem(key, "is missing; write { from = \"sqlalias\", to = \"sql1.corp.test\" }");
  const auto from = section.string("from");
  if (from && from->empty())
    section.problem("from", "is empty; write a pattern (\"*\" any text, \"?\" one character)");
  const auto to = section.value("to", parse_host_name);
  section.finish();
  if (from && to) rules.push_back({auth::lower(*from), *to});
}

/// What stands behind a procedure that has a name for everything is never asked.
void check_names(Section &section, const Route &route) {
  using enum auth::Procedure;
  const auto &order = route.names.order;
  const auto last =
      std::ranges::find_if(order, [](auth::Procedure p) { return p == as_typed || p == short_only; });
  if (last != order.end() && last + 1 != order.end())
    section.warning("names",
                    fmt::format("\"{}\" has a name for every target, so \"{}\" behind it is never asked; put "
                                "it last",
                                auth::to_string(*last), auth::to_string(*(last + 1))));
}

} // namespace

void read_names(Section &section, Route &route) {
  using enum auth::Procedure;
  constexpr auth::Procedure all[] = {as_typed, short_only, forward, forward_reverse, reverse, map};
  if (!read_driver(section, route.names))
    read_words<auth::Procedure>(section, "names", route.names.order, auth::find_procedure, all);
  for (Section &rule : section.sections("map"))
    read_map_rule(rule, route.names.map);
  const bool mapped = std::ranges::find(route.names.order, map) != route.names.order.end();
  if (mapped && !section.has("map"))
    section.problem("names",
                    "\"map\" has no rules; write map = [{ from = \"sqlalias\", to = \"sql1.corp.test\" }]");
  else if (!mapped && section.has("map"))
    section.problem("map",
                    "is not used, since names does not have \"map\"; write names = [\"map\", \"forward\"]");
  read_domain_list(section, "canonical_within", route.canonical_within);
  check_names(section, route);
}

void read_spn_rules(Section &section, Route &route) {
  using auth::RealmFrom;
  using auth::Why;
  constexpr Why whys[] = {Why::explicit_spn, Why::port, Why::instance, Why::bare, Why::typed, Why::reverse};
  constexpr RealmFrom sources[] = {RealmFrom::explicit_realm, RealmFrom::domain_realm, RealmFrom::srv,
                                   RealmFrom::referral, RealmFrom::default_realm};
  auth::SpnRules &rules = route.spn_rules;
  read_words<Why>(section, "spn_order", rules.order, auth::find_why, whys);
  read_words<RealmFrom>(section, "realm_order", rules.realms, auth::find_realm_from, sources);
  const auto has = [&](Why why) { return std::ranges::find(rules.order, why) != rules.order.end(); };
  if (!route.spn.empty() && section.has("spn_order") && !has(Why::explicit_spn))
    section.problem("spn",
                    "is not used, since spn_order does not have \"explicit\"; take it out, or add that word");
  const auto &names = route.names.order;
  const bool asks_ptr = std::ranges::any_of(names, [](auth::Procedure procedure) {
    return procedure == auth::Procedure::forward_reverse || procedure == auth::Procedure::reverse;
  });
  if (has(Why::reverse) && !asks_ptr)
    section.warning("spn_order",
                    "\"reverse\" has no name to offer, since no procedure of names asks for one; write "
                    "names = [\"forward-reverse\", \"forward\"]");
}

void read_domain_list(Section &section, std::string_view key, std::vector<std::string> &domains) {
  for (const auto &element : section.elements(key).value_or(std::vector<Section::Element>{})) {
    const auto text = section.string(element);
    if (!text) continue;
    if (auto domain = parse_domain(*text))
      domains.push_back(*std::move(domain));
    else
      section.problem(element, domain.error());
  }
}

} // namespace config

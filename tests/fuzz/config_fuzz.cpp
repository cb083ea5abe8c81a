// A configuration file, and the values in it (config/load.hpp, config/value.hpp).
#include "config/load.hpp"

#include "auth/target.hpp"
#include "config/show.hpp"
#include "config/value.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

template <class T> void says_why(const config::Parsed<T> &parsed) {
  fuzz::require(parsed || !parsed.error().empty(), "a value that is refused is told what to write instead");
}

void check_values(std::string_view text) {
  if (const auto duration = config::parse_duration(text))
    fuzz::require(duration->count() >= 0 && *duration <= std::chrono::hours(168),
                  "a duration is at most a week");
  if (const auto address = config::parse_address(text)) {
    const auto again = config::parse_address(address->text());
    fuzz::require(again && *again == *address, "an address has one spelling");
  }
  says_why(config::parse_address(text, 53));
  says_why(config::parse_version(text));
  if (const auto mode = config::parse_mode(text))
    fuzz::require((*mode & ~mode_t{0777}) == 0 && (*mode & 0600) == 0600,
                  "a mode has no special bits, and lets its owner in");
  if (const auto spn = config::parse_spn(text)) fuzz::require(*spn == text, "an SPN is kept as it is");
  says_why(config::parse_principal(text, {{"CORP", "CORP.TEST"}}));
  if (const auto name = config::parse_name(text)) fuzz::require(name->size() <= 64, "a name is short");
  const auto half = text.size() / 2;
  config::glob_match(text.substr(0, half), text.substr(half));
}

} // namespace

FUZZ_TARGET(config, 8192) {
  const auto text = fuzz::text_of(input);
  check_values(text);
  // toml++ keeps a node of some 100 bytes for two bytes of text, and every problem is
  // a sentence with its place.
  const auto loaded = fuzz::within(256 * 1024 + 1024 * input.size(), [&] {
    return config::parse(text, "/nonexistent/f", "/nonexistent/resolv.conf");
  });
  for (const auto &problem : loaded.problems) {
    fuzz::require(!problem.what.empty() && problem.text().starts_with("/nonexistent/f"),
                  "a problem says what and where");
    fuzz::require(problem.line >= 0 && problem.column >= 0, "a place is a place");
  }
  const auto place = [](const config::Problem &problem) { return std::pair(problem.line, problem.column); };
  fuzz::require(std::ranges::is_sorted(loaded.problems, {}, place),
                "problems stand in the order of the file");
  if (!loaded.ok()) return;
  fuzz::require(!loaded.config.listeners.empty() && !loaded.config.routes.empty(),
                "a configuration can be served");
  const auto shown =
      config::parse(config::show(loaded.config, 0), "/nonexistent/f", "/nonexistent/resolv.conf");
  fuzz::require(shown.ok() && shown.config == loaded.config,
                "what is shown of a configuration loads to the same");
  for (const auto &route : loaded.config.routes) {
    fuzz::require(auth::parse_target(route.target).has_value(), "every target is one");
    fuzz::require(route.identity.empty() || loaded.config.find_identity(route.identity),
                  "every identity is known");
  }
}

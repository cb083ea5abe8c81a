#include "shim/log/render.hpp"

#include <charconv>
#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace shim {

namespace {

// ---- strings from outside ----

constexpr char32_t replacement = 0xFFFD;

struct CodePoint {
  char32_t value = replacement;
  std::size_t length = 1; ///< bytes of the source
};

/// The code point that `text` (not empty) begins with. Invalid UTF-8 (overlong forms and surrogates too)
/// is U+FFFD, one byte long.
CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
  char32_t value = lead & (0x7F >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t shortest_form[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < shortest_form[length] || value > 0x10FFFF || surrogate) return {};
  return {value, length};
}

/// Characters that move the cursor, end a line or turn the reading direction round: a log line must
/// show them, not obey them.
bool must_be_escaped(char32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c <= 0x9F);
  const bool line_end = c == 0x2028 || c == 0x2029;
  const bool bidirectional = c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
                             (c >= 0x2066 && c <= 0x2069);
  return control || line_end || bidirectional;
}

std::string escape(char32_t c) { return fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c)); }

/// Valid UTF-8 throughout.
std::string replace_invalid(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const auto [value, length] = first_code_point(text);
    if (value == replacement && length == 1)
      valid += "\xEF\xBF\xBD";
    else
      valid += text.substr(0, length);
    text.remove_prefix(length);
  }
  return valid;
}

constexpr std::size_t longest_mark = 32; ///< of "…(+18446744073709551615 bytes)"
std::string cut_mark(std::size_t bytes) { return fmt::format("…(+{} bytes)", bytes); }

/// Valid UTF-8 of at most `longest` bytes, so that capping again changes nothing: a log that is read and
/// written again stays as it is.
std::string cap(std::string valid, std::size_t longest) {
  if (valid.size() <= longest) return valid;
  std::size_t keep = longest > longest_mark ? longest - longest_mark : 0;
  while (keep > 0 && (static_cast<unsigned char>(valid[keep]) & 0xC0) == 0x80)
    --keep; // never through a code point
  const std::string mark = cut_mark(valid.size() - keep);
  valid.resize(keep);
  return valid += mark;
}

Strings cap(const Strings &list) {
  if (list.size() <= most_logged_strings) return list;
  Strings kept(list.begin(), list.begin() + most_logged_strings - 1);
  kept.push_back(fmt::format("…(+{} more)", list.size() - kept.size()));
  return kept;
}

// ---- words ----

bool understand(std::string_view text, SpnAnswer &answer) {
  if (const auto kind = meaning<auth::Kind>(text))
    answer = *kind;
  else if (const auto *known = find_cause(text))
    answer = known->cause;
  else
    return text.empty();
  return true;
}
bool understand(std::string_view text, std::optional<auth::Oddity> &odd) {
  odd = auth::parse_oddity(text);
  return odd || text.empty();
}
template <auth::Spelled E> bool understand(std::string_view text, std::optional<E> &value) {
  value = meaning<E>(text);
  return value || text.empty();
}

// ---- JSON, written ----

void append_json(std::string &out, std::string_view text) {
  const std::string clean = cap(replace_invalid(text), longest_logged_text);
  out += '"';
  for (std::string_view rest = clean; !rest.empty();) {
    const auto [value, length] = first_code_point(rest);
    if (value == '"' || value == '\\') out += '\\';
    if (must_be_escaped(value))
      out += escape(value);
    else
      out += rest.substr(0, length);
    rest.remove_prefix(length);
  }
  out += '"';
}
void append_json(std::string &out, const std::string &text) { append_json(out, std::string_view(text)); }
template <auth::Spelled E> void append_json(std::string &out, std::optional<E> value) {
  append_json(out, value ? spelling(*value) : std::string_view());
}
void append_json(std::string &out, bool value) { out += value ? "true" : "false"; }
template <std::integral Number> void append_json(std::string &out, Number value) {
  out += fmt::to_string(value);
}
void append_json(std::string &out, const Strings &list) {
  out += '[';
  const char *separator = "";
  for (const std::string &text : cap(list)) {
    out += std::exchange(separator, ",");
    append_json(out, text);
  }
  out += ']';
}

void append_json(std::string &out, const SpnAnswer &answer) { append_json(out, spelled(answer)); }
void append_json(std::string &out, const std::optional<auth::Oddity> &odd) {
  append_json(out, odd ? odd->text() : std::string());
}

/// Appends "name":value pairs, as a visitor of an event's fields.
struct JsonWriter {
  std::string &out;
  const char *separator = "";
  void operator()(std::string_view name, const auto &value) {
    out += std::exchange(separator, ",");
    out += '"', out += name, out += "\":";
    append_json(out, value);
  }
};

// ---- JSON, read ----

using Json = nlohmann::json;

bool read(const Json &json, std::string &value) {
  if (!json.is_string()) return false;
  value = json.get_ref<const std::string &>();
  return true;
}
bool read(const Json &json, bool &value) {
  if (!json.is_boolean()) return false;
  value = json.get<bool>();
  return true;
}
bool read(const Json &json, std::uint64_t &value) {
  if (!json.is_number_unsigned()) return false;
  value = json.get<std::uint64_t>();
  return true;
}
bool read(const Json &json, std::int64_t &value) {
  if (!json.is_number_integer()) return false;
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
    return false;
  value = json.get<std::int64_t>();
  return true;
}
bool read(const Json &json, int &value) {
  std::int64_t wide = 0;
  if (!read(json, wide) || !std::in_range<int>(wide)) return false;
  value = static_cast<int>(wide);
  return true;
}
bool read(const Json &json, Strings &value) {
  if (!json.is_array()) return false;
  value.resize(json.size());
  for (std::size_t i = 0; i < json.size(); ++i)
    if (!read(json[i], value[i])) return false;
  return true;
}

/// A value of a closed set.
template <class Value>
concept Word = requires(Value &value) {
  understand(std::string_view(), value);
};
bool read(const Json &json, Word auto &value) {
  return json.is_string() && understand(json.get_ref<const std::string &>(), value);
}

/// Sets fields from an object, as a visitor of a mutable event. `wrong` is the first field that has another
/// type, or a word that its closed set does not have.
struct JsonReader {
  const Json &object;
  std::string_view wrong{};
  bool word = false;
  void operator()(std::string_view name, auto &value) {
    const auto found = object.find(name);
    if (found == object.end() || read(*found, value) || !wrong.empty()) return;
    wrong = name;
    word = found->is_string() && Word<std::remove_cvref_t<decltype(value)>>;
  }
};

/// What later versions say in fields or kinds of their own, found in the texts of earlier ones.
void say_as_today(BrowserAnswered &event) {
  constexpr std::string_view was = "was at port ";
  if (event.port_before == 0 && event.detail.starts_with(was))
    std::from_chars(event.detail.data() + was.size(), event.detail.data() + event.detail.size(),
                    event.port_before);
}
std::optional<PartnerTried> partner_of(std::string_view warning) {
  PartnerTried event;
  for (const auto &[ahead, value] : {std::pair{"route ", static_cast<std::string *>(nullptr)},
                                     {": target ", &event.route},
                                     {" could not be reached (", &event.target},
                                     {"): its failover_partner ", &event.cause},
                                     {" is tried", &event.partner}}) {
    const auto at = warning.find(ahead);
    if (at == warning.npos) return std::nullopt;
    if (value) *value = warning.substr(0, at);
    if (!value && at != 0) return std::nullopt;
    warning.remove_prefix(at + std::string_view(ahead).size());
  }
  return warning.empty() ? std::optional(event) : std::nullopt;
}
void say_as_today(Event &event) {
  if (auto *browser = std::get_if<BrowserAnswered>(&event)) say_as_today(*browser);
  if (const auto *warned = std::get_if<Warned>(&event))
    if (auto partner = partner_of(warned->what)) event = *std::move(partner);
}

/// A default event of the kind `name`. nullopt: there is no such kind.
std::optional<Event> make_event(std::string_view name) {
  std::optional<Event> made;
  const auto match = [&]<class Kind>(std::type_identity<Kind>) {
    if (Kind::name == name) made = Kind{};
  };
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (match(std::type_identity<std::variant_alternative_t<I, AnyEvent>>{}), ...);
  }
  (std::make_index_sequence<std::variant_size_v<AnyEvent>>{});
  return made;
}

// ---- text ----

std::string text_of(const std::string &value) { return printable(value); }
template <auth::Spelled E> std::string text_of(std::optional<E> value) {
  return value ? std::string(spelling(*value)) : "";
}
std::string text_of(bool value) { return value ? "true" : "false"; }
template <std::integral Number> std::string text_of(Number value) { return fmt::to_string(value); }
std::string text_of(const Strings &list) {
  std::string joined;
  for (const std::string &text : cap(list))
    joined += (joined.empty() ? "" : ",") + printable(text);
  return joined;
}

std::string text_of(const SpnAnswer &answer) { return std::string(spelled(answer)); }
std::string text_of(const std::optional<auth::Oddity> &odd) { return odd ? printable(odd->text()) : ""; }

std::string quoted(std::string text) {
  if (text.find_first_of(" \"") == std::string::npos) return text;
  for (std::size_t at = text.find('"'); at != std::string::npos; at = text.find('"', at + 2))
    text.insert(at, 1, '\\');
  return '"' + text + '"';
}

/// Appends " name=value" pairs.
struct TextWriter {
  std::string &out;
  void operator()(std::string_view name, const auto &value) {
    const std::string text = text_of(value);
    if (!text.empty()) out += fmt::format(" {}={}", name, quoted(text));
  }
};

std::string since(Micros elapsed) {
  if (elapsed < std::chrono::seconds(10))
    return fmt::format("+{:.3f}ms", static_cast<double>(elapsed.count()) / 1e3);
  return fmt::format("+{:.3f}s", static_cast<double>(elapsed.count()) / 1e6);
}

} // namespace

std::string_view sentence_of(const Event &event) {
  return std::visit([]<class Kind>(const Kind &) { return Kind::sentence; }, event);
}
std::string_view name_of(const Event &event) {
  return std::visit([]<class Kind>(const Kind &) { return Kind::name; }, event);
}
bool is_debug(const Event &event) {
  return std::visit([]<class Kind>(const Kind &) { return Kind::debug; }, event);
}

std::string to_json(const Record &record) {
  std::string line = fmt::format(R"({{"v":1,"at":"{}",)", to_iso8601(record.at));
  JsonWriter head{line};
  if (!record.conn.empty()) {
    head("conn", record.conn);
    head("seq", record.seq);
    head("us", static_cast<std::int64_t>(record.since_accept.count()));
  }
  head("event", name_of(record.event));
  line += R"(,"data":{)";
  std::visit([&](const auto &event) { event.fields(JsonWriter{line}); }, record.event);
  return line += "}}";
}

std::expected<Record, std::string> from_json(std::string_view line) {
  const auto complain = [](std::string what) { return std::unexpected(std::move(what)); };
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return complain("not JSON (a line that was cut off?)");
  if (!json.is_object()) return complain("not a JSON object");

  std::int64_t version = 0, elapsed = 0;
  std::string at, kind;
  Record record;
  JsonReader head{json};
  head("v", version), head("at", at), head("conn", record.conn), head("seq", record.seq), head("us", elapsed);
  head("event", kind);
  if (!head.wrong.empty()) return complain(fmt::format("\"{}\" is of the wrong type", head.wrong));
  if (version != 1) return complain(fmt::format("\"v\" is {}: this version of sqlshim reads 1", version));
  const auto time = from_iso8601(at);
  if (!time) return complain(fmt::format("\"at\" is no time: \"{}\"", printable(at, 64)));
  record.at = *time;
  record.since_accept = Micros(elapsed);

  auto event = make_event(kind);
  if (!event) return complain(fmt::format("unknown event \"{}\"", printable(kind, 64)));
  record.event = *std::move(event);
  const auto data = json.find("data");
  if (data == json.end() || !data->is_object()) return complain("no \"data\"");
  JsonReader body{*data};
  std::visit([&](auto &known) { known.fields(body); }, record.event);
  if (body.word)
    return complain(fmt::format("{}: \"{}\" has a word that this version of sqlshim does not know: \"{}\"",
                                kind, body.wrong,
                                printable(data->at(body.wrong).get_ref<const std::string &>(), 64)));
  if (!body.wrong.empty()) return complain(fmt::format("{}: \"{}\" is of the wrong type", kind, body.wrong));
  say_as_today(record.event);
  return record;
}

std::string to_text(const Record &record) {
  std::string line = record.conn.empty() ? to_iso8601(record.at)
                                         : printable(record.conn, 64) + ' ' + since(record.since_accept);
  line += fmt::format(" {}", name_of(record.event));
  std::visit([&](const auto &event) { event.fields(TextWriter{line}); }, record.event);
  return line;
}

std::string printable(std::string_view text, std::size_t longest) {
  std::string shown;
  for (std::string_view rest = text; !rest.empty();) {
    const auto [value, length] = first_code_point(rest);
    const bool invalid = value == replacement && length == 1;
    if (must_be_escaped(value))
      shown += escape(value);
    else
      shown += invalid ? std::string_view("\xEF\xBF\xBD") : rest.substr(0, length);
    rest.remove_prefix(length);
  }
  return cap(std::move(shown), longest);
}

std::string to_iso8601(WallTime time) {
  using namespace std::chrono;
  const auto micros = floor<microseconds>(time);
  const auto day = floor<days>(micros);
  const year_month_day date(day);
  const hh_mm_ss clock(micros - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

std::optional<WallTime> from_iso8601(std::string_view text) {
  using namespace std::chrono;
  const auto digits = [&text](std::size_t count) -> std::optional<unsigned> {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + std::min(count, text.size()), value);
    if (error != std::errc{} || end != text.data() + count) return std::nullopt;
    text.remove_prefix(count);
    return value;
  };
  const auto skip = [&text](char expected) {
    if (text.empty() || text.front() != expected) return false;
    text.remove_prefix(1);
    return true;
  };
  const auto year_digits = digits(4);
  if (!year_digits || !skip('-')) return std::nullopt;
  const auto month_digits = digits(2);
  if (!month_digits || !skip('-')) return std::nullopt;
  const auto day_digits = digits(2);
  if (!day_digits || !skip('T')) return std::nullopt;
  const auto hour = digits(2);
  if (!hour || !skip(':')) return std::nullopt;
  const auto minute = digits(2);
  if (!minute || !skip(':')) return std::nullopt;
  const auto second = digits(2);
  if (!second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;

  unsigned micros = 0;
  if (skip('.')) {
    int count = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++count)
      if (count < 6) micros = micros * 10 + static_cast<unsigned>(text.front() - '0');
    if (count == 0) return std::nullopt;
    for (; count < 6; ++count)
      micros *= 10;
  }
  if (text != "Z") return std::nullopt;
  const year_month_day date(year(static_cast<int>(*year_digits)), month(*month_digits), day(*day_digits));
  // The system clock counts 64 bits of nanoseconds, from 1677 to 2262.
  if (!date.ok() || date.year() < year(1678) || date.year() > year(2261)) return std::nullopt;
  return sys_days(date) + hours(*hour) + minutes(*minute) + seconds(*second) + microseconds(micros);
}

} // namespace shim

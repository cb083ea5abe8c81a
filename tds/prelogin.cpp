#include "tds/prelogin.hpp"

#include <algorithm>

namespace tds {

namespace {

struct Known {
  PreloginToken token;
  std::string_view name;
  std::size_t shortest, longest; // bytes of data; either one of the two, or for INSTOPT anything between
};

// A server answers THREADID and TRACEID with no data.
constexpr Known known_options[] = {
    {PreloginToken::version, "VERSION", 6, 6},
    {PreloginToken::encryption, "ENCRYPTION", 1, 1},
    {PreloginToken::instopt, "INSTOPT", 0, 256},
    {PreloginToken::threadid, "THREADID", 0, 4},
    {PreloginToken::mars, "MARS", 1, 1},
    {PreloginToken::traceid, "TRACEID", 0, 36},
    {PreloginToken::fedauthrequired, "FEDAUTHREQUIRED", 1, 1},
    {PreloginToken::nonce, "NONCE", 32, 32},
};

const Known *find_known(PreloginToken token) {
  const auto *found = std::ranges::find(known_options, token, &Known::token);
  return found == std::end(known_options) ? nullptr : found;
}

bool allows(const Known &known, std::size_t length) {
  if (known.token == PreloginToken::instopt) return length <= known.longest;
  return length == known.shortest || length == known.longest;
}

std::string name_of(PreloginToken token) {
  if (const auto *known = find_known(token)) return std::string(known->name);
  return "OPTION " + std::to_string(static_cast<int>(token));
}

// One option in the table.
struct Entry {
  PreloginToken token{};
  std::uint16_t offset = 0;
  std::uint16_t length = 0;
  std::size_t at = 0; // where the entry stands, for complaints
};

std::vector<Entry> read_table(Fields &in, const Reader &reader) {
  std::vector<Entry> table;
  while (in.ok()) {
    Entry entry{.at = reader.offset()};
    const auto token = in.u8("option table without its end (0xFF)");
    if (token == 0xFF) break;
    entry.token = static_cast<PreloginToken>(token);
    entry.offset = in.u16_be("option offset");
    entry.length = in.u16_be("option length");
    if (in.ok() && std::ranges::count(table, entry.token, &Entry::token) > 0)
      in.fail({"PRELOGIN", name_of(entry.token), "stands there twice", entry.at});
    table.push_back(entry);
  }
  return table;
}

} // namespace

std::string to_string(Encryption value) {
  switch (value) {
  case Encryption::off:
    return "off";
  case Encryption::on:
    return "on";
  case Encryption::not_sup:
    return "not_sup";
  case Encryption::req:
    return "req";
  }
  return std::to_string(static_cast<int>(value));
}

std::string ServerVersion::text() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(build);
}

const PreloginOption *Prelogin::find(PreloginToken token) const {
  const auto found = std::ranges::find(options, token, &PreloginOption::token);
  return found == options.end() ? nullptr : &*found;
}

void Prelogin::set(PreloginToken token, Bytes data) {
  const auto found = std::ranges::find(options, token, &PreloginOption::token);
  if (found != options.end())
    found->data = std::move(data);
  else
    options.push_back({token, std::move(data)});
}

std::optional<ServerVersion> Prelogin::version() const {
  const auto *option = find(PreloginToken::version);
  if (!option) return std::nullopt;
  Reader reader(option->data, "PRELOGIN VERSION");
  Fields in(reader);
  ServerVersion version;
  version.major = in.u8("major");
  version.minor = in.u8("minor");
  version.build = in.u16_be("build");
  version.sub_build = in.u16_le("sub-build");
  return in.ok() ? std::optional(version) : std::nullopt;
}

std::optional<Encryption> Prelogin::encryption() const {
  const auto *option = find(PreloginToken::encryption);
  if (!option || option->data.size() != 1) return std::nullopt;
  const int value = option->data.front() & 0x3F;
  if (value > static_cast<int>(Encryption::req)) return std::nullopt;
  return static_cast<Encryption>(value);
}

bool Prelogin::mars() const {
  const auto *option = find(PreloginToken::mars);
  return option && option->data == Bytes{1};
}

bool Prelogin::fedauth_required() const {
  const auto *option = find(PreloginToken::fedauthrequired);
  return option && option->data == Bytes{1};
}

void Prelogin::set_version(ServerVersion version) {
  Writer out;
  out.u8(version.major);
  out.u8(version.minor);
  out.u16_be(version.build);
  out.u16_le(version.sub_build);
  if (has(PreloginToken::version))
    set(PreloginToken::version, std::move(out).bytes());
  else
    options.insert(options.begin(), {PreloginToken::version, std::move(out).bytes()});
}

void Prelogin::set_encryption(Encryption value) {
  set(PreloginToken::encryption, {static_cast<std::uint8_t>(value)});
}

void Prelogin::set_mars(bool on) { set(PreloginToken::mars, {static_cast<std::uint8_t>(on)}); }

Result<Prelogin> decode_prelogin(ByteView payload) {
  Reader reader(payload, "PRELOGIN");
  Fields in(reader);
  const auto table = read_table(in, reader);
  const std::size_t table_size = reader.offset();
  if (in.ok() && (table.empty() || table.front().token != PreloginToken::version))
    in.fail({"PRELOGIN", "VERSION", "is not the first option", 0});

  Prelogin prelogin;
  std::size_t together = 0; // bytes of data so far: options that share theirs must not make much of little
  for (const auto &entry : table) {
    if (!in.ok()) break;
    together += entry.length;
    const auto complain = [&](std::string what) {
      in.fail({"PRELOGIN", name_of(entry.token), std::move(what), entry.at});
    };
    const auto *known = find_known(entry.token);
    const std::size_t end = std::size_t{entry.offset} + entry.length;
    if (known && !allows(*known, entry.length))
      complain("cannot have " + std::to_string(entry.length) + " bytes");
    else if (entry.length > 0 && entry.offset < table_size)
      complain("points into the option table");
    else if (entry.length > 0 && end > payload.size())
      complain("points past the end (" + std::to_string(end) + " > " + std::to_string(payload.size()) + ")");
    else if (together > payload.size())
      complain("shares its bytes with other options");
    else if (entry.length > 0)
      prelogin.options.push_back({entry.token, Bytes(payload.begin() + entry.offset,
                                                     payload.begin() + static_cast<std::ptrdiff_t>(end))});
    else
      prelogin.options.push_back({entry.token, {}});
  }
  return in.finish(std::move(prelogin));
}

Bytes encode_prelogin(const Prelogin &prelogin) {
  Writer out;
  std::size_t offset = 5 * prelogin.options.size() + 1;
  for (const auto &option : prelogin.options) {
    out.u8(static_cast<std::uint8_t>(option.token));
    out.u16_be(static_cast<std::uint16_t>(offset));
    out.u16_be(static_cast<std::uint16_t>(option.data.size()));
    offset += option.data.size();
  }
  out.u8(0xFF);
  for (const auto &option : prelogin.options)
    out.append(option.data);
  return std::move(out).bytes();
}

std::string describe(const Prelogin &prelogin) {
  std::string line;
  for (const auto &option : prelogin.options) {
    if (!line.empty()) line += ", ";
    line += name_of(option.token);
    if (option.token == PreloginToken::version) {
      if (const auto version = prelogin.version()) line += " " + version->text();
    } else if (option.token == PreloginToken::encryption) {
      const auto encryption = prelogin.encryption();
      line += " " + (encryption ? to_string(*encryption) : "unknown");
    } else if (option.token == PreloginToken::mars || option.token == PreloginToken::fedauthrequired) {
      if (!option.data.empty()) line += " " + std::to_string(option.data.front());
    }
  }
  return line;
}

} // namespace tds

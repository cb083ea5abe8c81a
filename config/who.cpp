#include "config/who.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fmt/format.h>
#include <grp.h>
#include <limits>
#include <pwd.h>
#include <system_error>

namespace config {

namespace {

/// Calls getpwnam_r or getgrnam_r with more and more room until the entry fits. nullopt: no such name; Error:
/// the database cannot be asked.
template <class Entry>
Parsed<std::optional<Entry>> ask(int (*function)(const char *, Entry *, char *, size_t, Entry **),
                                 const std::string &name, std::vector<char> &room) {
  constexpr std::size_t most_room = 16 * 1024 * 1024; // a group with very many members
  for (room.resize(4096); room.size() <= most_room; room.resize(room.size() * 4)) {
    Entry entry{};
    Entry *found = nullptr;
    const int error = function(name.c_str(), &entry, room.data(), room.size(), &found);
    if (error == ERANGE) continue;
    if (found) return entry;
    // "No such name" comes as 0 or as one of these, by the service that was asked (getpwnam(3)).
    if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM)
      return std::nullopt;
    return std::unexpected(
        fmt::format("\"{}\" cannot be looked up: {}", name, std::generic_category().message(error)));
  }
  return std::unexpected(fmt::format("\"{}\" cannot be looked up: its entry is too long", name));
}

Parsed<Who> find_uid(std::string_view text) {
  std::uint64_t uid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), uid);
  // The largest uid_t means "no user" to the kernel.
  if (error != std::errc{} || uid >= std::numeric_limits<uid_t>::max())
    return std::unexpected(
        fmt::format("{} is no uid; the largest is {}", text, std::numeric_limits<uid_t>::max() - 1));
  return Who{.text = std::string(text), .self = false, .uid = static_cast<uid_t>(uid), .gid = {}};
}

} // namespace

Parsed<Who> find_who(std::string_view text) {
  constexpr std::string_view form =
      "write a user's name, \"@GROUP\", a uid, or \"self\" for who runs sqlshim";
  const auto complain = [&](std::string_view what) {
    return std::unexpected(fmt::format("\"{}\": {}; {}", text, what, form));
  };

  Who who{.text = std::string(text), .self = false, .uid = {}, .gid = {}};
  if (text == "self") {
    who.self = true;
    return who;
  }
  if (text.find_first_of("*?") != std::string_view::npos) return complain("there are no patterns for users");
  if (text.empty() || text == "@") return complain("the name is empty");
  if (std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) return find_uid(text);

  std::vector<char> room;
  if (text.starts_with('@')) {
    const auto group = ask<struct group>(::getgrnam_r, std::string(text.substr(1)), room);
    if (!group) return std::unexpected(group.error());
    if (!*group) return complain("this machine has no such group");
    who.gid = (*group)->gr_gid;
    return who;
  }
  const auto user = ask<passwd>(::getpwnam_r, std::string(text), room);
  if (!user) return std::unexpected(user.error());
  if (!*user) return complain("this machine has no such user");
  who.uid = (*user)->pw_uid;
  return who;
}

Parsed<Who> find_who(std::int64_t uid) {
  if (uid < 0) return std::unexpected(fmt::format("{} is no uid; it is negative", uid));
  return find_uid(fmt::to_string(uid));
}

} // namespace config

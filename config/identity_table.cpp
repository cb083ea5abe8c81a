#include "config/identity_table.hpp"

#include "config/privileges.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

namespace config {
namespace {

/// Whose credentials, where the configuration names no file of them.
enum class From { client, caller };
constexpr auto word_table(std::type_identity<From>) {
  return std::to_array<std::pair<From, std::string_view>>(
      {{From::client, "client"}, {From::caller, "caller"}});
}

/// A plain path, or "FILE:path", is relative to the folder; other types ("KEYRING:…") are names of their own.
std::string ccache_name(const std::string &written, const Loading &loading) {
  constexpr std::string_view file_type = "FILE:";
  if (written.starts_with(file_type))
    return std::string(file_type) + loading.from_folder(written.substr(file_type.size())).string();
  const std::size_t colon = written.find(':');
  const bool typed = colon != std::string::npos && written.find('/') > colon;
  return typed ? written : loading.from_folder(written).string();
}

void read_principal(Section &section, const std::string &written, Identity &identity, Loading &loading) {
  const auto principal = parse_principal(written, loading.config.domains);
  if (!principal) return section.problem("principal", principal.error());
  identity.principal = *principal;
  if (*principal != written) identity.account = written;
}

void read_source(Section &section, Identity &identity, Loading &loading) {
  constexpr std::pair<std::string_view, IdentityKind> sources[] = {
      {"keytab", IdentityKind::keytab},
      {"ccache", IdentityKind::ccache},
      {"password_file", IdentityKind::password_file}};
  std::vector<std::string_view> written;
  for (const auto &[key, kind] : sources)
    if (const auto source = section.string(key)) {
      written.push_back(key);
      identity.kind = kind;
      if (source->empty()) section.problem(key, "is empty; write a path");
      identity.source = kind == IdentityKind::ccache ? ccache_name(*source, loading)
                                                     : loading.from_folder(*source).string();
      check_secret(section, key, identity.source);
    } else if (section.has(key)) {
      written.push_back(key); // of a wrong type, which is said already
    }
  if (written.size() > 1)
    section.problem("", fmt::format("has {}; write one of them, and another [[identity]] for the other",
                                    fmt::join(written, " and ")));
  if (written.empty())
    section.problem(
        "", "has no credentials; write keytab and principal, ccache, password_file and principal, or from");

  if (const auto written_as = section.string("principal"))
    read_principal(section, *written_as, identity, loading);
  else if (!section.has("principal") && !written.empty() && identity.kind != IdentityKind::ccache)
    section.problem("principal", fmt::format("is missing; a {} needs one, write principal = \"NAME@REALM\"",
                                             written.front()));
}

bool is_self_alone(const std::vector<Who> &allow) {
  return std::ranges::all_of(allow, [](const Who &who) { return who.self || who.uid == ::getuid(); });
}

/// What is wrong with where the caller's ccache is said to be; empty: nothing. `one_user`: only
/// who runs sqlshim may use it.
std::string fault_of_template(std::string_view text, bool one_user) {
  constexpr std::string_view uid = "%{uid}", form = "write a path like \"/tmp/krb5cc_%{uid}\"";
  const std::size_t colon = text.find(':');
  const bool typed = colon != std::string_view::npos && text.find('/') > colon;
  const std::string_view type = typed ? text.substr(0, colon) : "FILE";
  const std::string_view rest = type == "FILE" && typed ? text.substr(colon + 1) : text;
  if (rest.empty()) return fmt::format("is empty; {}", form);
  for (std::size_t at = text.find("%{"); at != std::string_view::npos; at = text.find("%{", at + 1))
    if (!text.substr(at).starts_with(uid))
      return fmt::format("\"{}\": only %{{uid}} is replaced here; {}", text, form);
  constexpr std::string_view of_one_user[] = {"KCM", "KEYRING", "DIR"};
  if (std::ranges::find(of_one_user, type) != std::ranges::end(of_one_user)) {
    if (one_user) return {};
    return fmt::format(
        "\"{}\": a {} cache opens for its own user alone, so only allow = [\"self\"] can use it; {}", text,
        type, form);
  }
  if (type != "FILE") return fmt::format("\"{}\" is of a type that cannot be used here; {}", text, form);
  if (!text.contains(uid))
    return fmt::format("\"{}\" has no %{{uid}}, and would be one for all users; {}", text, form);
  return {};
}

void read_from(Section &section, Identity &identity, const Loading &loading) {
  const auto from = section.word<From>("from");
  const bool caller = from == From::caller;
  for (const std::string_view key : {"keytab", "password_file", "principal", "ccache"}) {
    if (!section.has(key) || !from || (caller && key == "ccache")) continue;
    section.problem(
        key, caller ? "is not used: with from = \"caller\" the caller's own ccache tells who; take it out"
                    : "is not used: with from = \"client\" the application's user and password are; take "
                      "it out");
  }
  if (!from) return;
  identity.kind = caller ? IdentityKind::caller : IdentityKind::client;
  if (!caller) return;
  const auto written = section.string("ccache").value_or("/tmp/krb5cc_%{uid}");
  identity.source = written.empty() ? "" : ccache_name(written, loading);
  if (const auto what = fault_of_template(identity.source, is_self_alone(identity.allow)); !what.empty())
    section.problem("ccache", what);
  if (!is_self_alone(identity.allow) && !may_read_files_of_others(loading.proc_status))
    section.warning("from",
                    fmt::format("uid {} cannot read the ccaches of other users that allow names; write "
                                "AmbientCapabilities=CAP_DAC_READ_SEARCH into the [Service] of its systemd "
                                "unit (not setcap: libkrb5 then ignores its environment)",
                                ::geteuid()));
}

} // namespace

void read_identity(Section &section, Loading &loading) {
  Identity identity;
  identity.name = read_name(section, loading.identity_names);
  read_who(section, "allow", identity.allow);
  if (section.has("from"))
    read_from(section, identity, loading);
  else
    read_source(section, identity, loading);
  section.finish();
  loading.config.identities.push_back(std::move(identity));
}

} // namespace config

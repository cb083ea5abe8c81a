#include "config/route_table.hpp"

#include "auth/target.hpp"
#include "config/causes.hpp"
#include "config/route_names.hpp"
#include "config/route_reach.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace config {
namespace {

void read_match(Section &section, Match &match, const Loading &loading) {
  for (const auto &[key, pattern] : {std::pair<std::string_view, std::string *>{"listener", &match.listener},
                                     {"server", &match.server},
                                     {"database", &match.database},
                                     {"user", &match.user},
                                     {"app", &match.app}}) {
    const auto text = section.string(key);
    if (text && text->empty())
      section.problem(
          key,
          "is empty; take it out to match everything, or write a pattern (\"*\" any text, \"?\" one character)");
    else if (text)
      *pattern = *text;
  }
  read_who(section, "caller", match.caller);
  if (!match.listener.empty() && listeners_matched(match.listener, loading) == 0) {
    std::vector<std::string_view> names;
    for (const Listener &listener : loading.config.listeners)
      names.push_back(listener.name);
    section.problem("listener", names.empty() ? "there is no listener at all"
                                              : Section::no_such_word(match.listener, names));
  }
  section.finish();
}

void read_target(Section &section, Route &route) {
  if (!section.has("target"))
    section.problem("target",
                    "is missing; write the server as you would type it, as target = \"sql1.corp.test\"");
  const auto typed = section.string("target");
  if (!typed) return;
  route.target = *typed;
  if (auto fault = target_fault(*typed); !fault.empty()) section.problem("target", std::move(fault));
}

void read_partner(Section &section, Route &route) {
  const auto typed = section.string("failover_partner");
  if (!typed || typed->empty()) return; // "" says: none
  route.failover_partner = *typed;
  if (auto fault = target_fault(*typed); !fault.empty())
    section.problem("failover_partner", std::move(fault));
  else if (const auto partner = auth::parse_target(*typed), target = auth::parse_target(route.target);
           target && partner->host == target->host && partner->instance == target->instance &&
           partner->port == target->port)
    section.warning("failover_partner",
                    "is the target itself, which would only be tried twice; name the other server");
}

Parsed<AttemptKind> attempt_of(std::string_view text) {
  if (const auto kind = auth::meaning<AttemptKind>(text)) return *kind;
  for (const std::string_view other : {"np+kerberos", "np+ntlm"})
    if (text == other)
      return std::unexpected(fmt::format("\"{}\" is not built yet; write \"tcp+{}\"", text, text.substr(3)));
  std::vector<std::string_view> words;
  for (const auto &[kind, word] : auth::words<AttemptKind>)
    words.push_back(word);
  return std::unexpected(Section::no_such_word(text, words));
}

void read_attempts(Section &section, Route &route) {
  const auto elements = section.elements("attempts");
  if (!elements) return;
  if (elements->empty()) section.problem("attempts", "is empty; write [\"tcp+kerberos\"]");
  route.attempts.clear();
  for (const auto &element : *elements) {
    const auto text = section.string(element);
    if (!text) continue;
    const auto attempt = attempt_of(*text);
    if (!attempt)
      section.problem(element, attempt.error());
    else if (std::ranges::find(route.attempts, *attempt) != route.attempts.end())
      section.problem(element, fmt::format("\"{}\" stands here twice; take one out", *text));
    else
      route.attempts.push_back(*attempt);
  }
}

void read_fallback(Section &section, Route &route) {
  section.read("fallback", route.fallback);
  for (const auto &element : section.elements("fallback_on").value_or(std::vector<Section::Element>{})) {
    const auto text = section.string(element);
    if (!text) continue;
    if (const auto *known = find_cause(*text); !known) {
      std::vector<std::string_view> causes;
      for (const auto &entry : all_causes())
        if (entry.never.empty()) causes.push_back(entry.id);
      section.problem(element, Section::no_such_word(*text, causes));
    } else if (!known->never.empty()) {
      section.problem(element, fmt::format("no other attempt is ever made after {}: {}; take it out", *text,
                                           known->never));
    } else if (std::ranges::find(route.fallback_on, known->cause) != route.fallback_on.end()) {
      section.problem(element, fmt::format("\"{}\" stands here twice; take one out", *text));
    } else {
      route.fallback_on.push_back(known->cause);
    }
  }
  if (!route.fallback_on.empty() && route.attempts.size() == 1)
    section.warning("fallback_on",
                    fmt::format("leads nowhere: {} is the only attempt; add another to attempts",
                                to_string(route.attempts.front())));
  // Behind tcp+sql the next one is for clients that gave no password.
  if (!section.written("fallback_on") && route.attempts.size() > 1 &&
      route.attempts[0].mechanism != Mechanism::sql)
    section.warning("attempts",
                    fmt::format("{} is never made after {} has failed; list the causes that may lead to "
                                "it in fallback_on",
                                to_string(route.attempts[1]), to_string(route.attempts[0])));
}

bool has(const Route &route, Mechanism mechanism) {
  return std::ranges::find(route.attempts, mechanism, &AttemptKind::mechanism) != route.attempts.end();
}

/// NTLM is made of a password; a key or a ticket is none.
void check_ntlm_identity(Section &section, const Route &route, const Loading &loading) {
  const auto *identity = loading.config.find_identity(route.identity);
  if (!has(route, Mechanism::ntlm) || !identity) return;
  if (identity->kind == IdentityKind::password_file || identity->kind == IdentityKind::client) return;
  section.problem(
      "identity",
      fmt::format(
          "\"{}\" has no password, which tcp+ntlm needs; give it a password_file, or take tcp+ntlm out of attempts",
          identity->name));
}

void read_route_identity(Section &section, Route &route, const Loading &loading) {
  if (const auto identity = section.string("identity")) {
    route.identity = *identity;
    if (loading.identity_names.contains(*identity)) return check_ntlm_identity(section, route, loading);
    std::vector<std::string_view> names;
    for (const auto &[name, where] : loading.identity_names)
      names.push_back(name);
    section.problem(
        "identity",
        names.empty()
            ? fmt::format("there is no identity \"{}\"; write an [[identity]] with that name", *identity)
            : Section::no_such_word(*identity, names));
    return;
  }
  const auto needy =
      std::ranges::find_if(route.attempts, [](AttemptKind kind) { return kind.mechanism != Mechanism::sql; });
  if (!section.has("identity") && needy != route.attempts.end())
    section.problem("identity", fmt::format("is missing; {} needs one, write the name of an [[identity]]",
                                            to_string(*needy)));
}

void check_encryption(Section &section, const Route &route) {
  if (route.encrypt == Encrypt::login)
    section.warning("encrypt",
                    "\"login\" encrypts the login alone: queries and results go over the network in clear; "
                    "write \"require\"");
  if (route.trust_server_certificate && route.encrypt == Encrypt::strict)
    section.problem("trust_server_certificate",
                    "encrypt = \"strict\" always checks the certificate; take this out, and "
                    "name the authority in ca_file");
  else if (route.trust_server_certificate && route.encrypt != Encrypt::off)
    section.warning("trust_server_certificate",
                    "takes any certificate, an impostor's too; take it out, and name the "
                    "authority in ca_file");
  if (route.tls_min == TlsMin::tls_1_0)
    section.warning("tls_min",
                    "\"1.0\" takes versions of TLS that are broken; take it out as soon as the server has "
                    "TLS 1.2");
}

void read_encryption(Section &section, Route &route, const Loading &loading) {
  section.read("encrypt", route.encrypt);
  route.ca_file = read_path(section, "ca_file", loading);
  if (!route.ca_file.empty()) {
    warn_if_absent(section, "ca_file", route.ca_file);
    check_place(section, "ca_file", route.ca_file);
  }
  if (!section.empty("host_name_in_certificate")) // "": the target's
    section.read("host_name_in_certificate", route.host_name_in_certificate, parse_host_name);
  section.read("trust_server_certificate", route.trust_server_certificate);
  section.read("tls_min", route.tls_min);
  check_encryption(section, route);
}

/// Passwords, and what NTLM makes of one, go only where TLS is, to a server whose certificate was checked.
void check_unprotected(Section &section, const Route &route) {
  const bool password = has(route, Mechanism::sql), ntlm = has(route, Mechanism::ntlm);
  // With "login" NTLM's answer would be outside of TLS: only the first packet is within.
  const bool half = ntlm && route.encrypt == Encrypt::login;
  if ((!password && !ntlm) || (route.verified_tls() && !half)) return;
  const bool clear = route.encrypt == Encrypt::off;
  const auto *attempt = password && !half ? "tcp+sql" : "tcp+ntlm";
  const auto *what =
      password && !half ? "the application's password" : "an answer that the password can be guessed from";
  if (route.unprotected == Unprotected::refuse)
    section.problem(
        "attempts",
        fmt::format(
            "{} sends {} over the network, and {}; take {} out, or write unprotected = \"accept\"", attempt,
            what,
            clear ? "encrypt = \"off\" leaves it readable: write \"require\""
            : half
                ? "encrypt = \"login\" leaves it readable: write \"require\""
                : "trust_server_certificate = true gives it to any server: take that out, and name the authority in ca_file",
            attempt));
  else
    section.warning("unprotected",
                    fmt::format("{} go {}",
                                password && !half ? "passwords of applications"
                                                  : "answers that passwords can be guessed from",
                                clear || half
                                    ? "over the network to the server readable by anybody"
                                    : "to whoever answers as the server: no certificate is checked"));
}

/// Without TLS the name that DNS makes of the target is all that says whose ticket is asked for.
void check_names_are_safe(Section &section, const Route &route) {
  const auto asks_dns = [](auth::Procedure procedure) {
    return procedure != auth::Procedure::as_typed && procedure != auth::Procedure::map;
  };
  if (route.encrypt != Encrypt::off || !has(route, Mechanism::kerberos) || !route.spn.empty()) return;
  if (route.names.driver.empty() && std::ranges::none_of(route.names.order, asks_dns)) return;
  section.warning("encrypt",
                  "\"off\" checks no certificate: whoever forges DNS, and owns any service that it may lead "
                  "to, is taken for the server; write \"require\", or names = [\"as-typed\"]");
}

void check_stand_in(Section &section, const Route &route) {
  if (route.mutual_auth == MutualAuth::or_verified_tls && route.verified_tls() &&
      route.encrypt == Encrypt::login)
    section.problem("mutual_auth",
                    "with encrypt = \"login\" TLS ends before the server answers, and what its certificate "
                    "proved ends with it; write encrypt = \"require\"");
  else if (route.mutual_auth == MutualAuth::or_verified_tls && !route.verified_tls())
    section.warning(
        "mutual_auth",
        fmt::format("nothing can stand in for the server's own proof: {}; the server must "
                    "prove itself as with \"required\"",
                    route.encrypt == Encrypt::off ? "encrypt is \"off\"" : "no certificate is checked"));
}

void read_timeouts(Section &section, Timeouts &timeouts) {
  for (const auto &[key, timeout] : {std::pair<std::string_view, Duration *>{"connect", &timeouts.connect},
                                     {"dns", &timeouts.dns},
                                     {"kdc", &timeouts.kdc},
                                     {"login", &timeouts.login},
                                     {"idle", &timeouts.idle}}) {
    const auto duration = read_duration(section, key);
    if (!duration) continue;
    // Whoever connects could hold a login open for ever.
    if (*duration == Duration{0} && timeout != &timeouts.idle)
      section.problem(key, "\"0s\" would be no deadline at all, which only idle may have; write \"5s\"");
    else
      *timeout = *duration;
  }
  section.finish();
}

} // namespace

void read_route(Section &section, Loading &loading) {
  Route route;
  route.name = read_name(section, loading.route_names);
  if (auto match = section.section("match")) read_match(*match, route.match, loading);
  read_target(section, route);
  read_attempts(section, route);
  read_fallback(section, route);
  read_route_identity(section, route, loading);
  read_encryption(section, route, loading);
  read_domain_list(section, "redirect_within", route.redirect_within);
  read_names(section, route);
  if (!section.empty("spn")) section.read("spn", route.spn, parse_spn); // "": computed
  read_spn_rules(section, route);
  check_names_are_safe(section, route);
  section.read("mutual_auth", route.mutual_auth);
  section.read("unprotected", route.unprotected);
  check_unprotected(section, route);
  check_stand_in(section, route);
  section.read("multi_subnet", route.multi_subnet);
  read_partner(section, route);
  if (auto timeouts = section.section("timeouts")) read_timeouts(*timeouts, route.timeouts);
  section.finish();
  if (!check_shadowed(section, route, loading)) check_usable(section, route, loading);
  loading.config.routes.push_back(std::move(route));
}

} // namespace config

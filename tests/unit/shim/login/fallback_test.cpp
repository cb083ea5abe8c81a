#include "shim/login/fallback.hpp"

#include <gmock/gmock.h>
#include <set>
#include <sstream>

namespace shim_test {
namespace {

using namespace shim;
using config::AttemptKind;

// One line each: the policy ("ATTEMPTS [on CAUSES] [audit|off]": k Kerberos, n NTLM, s the password; a
// Kerberos attempt stands for as many SPN candidates as its digit says), what each attempt that is made
// meets, which follow, and what the client hears. Words of an attempt that met something: a cause, or
// CAUSE>DIAGNOSED where the whole trail says it better, or CAUSE! where the server rejected the ticket.
constexpr const char *table = R"(
# --- one attempt
k1                                                   | ok                                   | k1          | ok
k1                                                   | spn-missing                          | k1          | spn-missing
k1                                                   | kdc-unreachable                      | k1          | kdc-unreachable
k1 on spn-missing                                    | spn-missing                          | k1          | spn-missing
s                                                    | ok                                   | s           | ok
s                                                    | login-denied                         | s           | login-denied
# --- several spellings of one service: no fallback
k2                                                   | spn-missing ok                       | k1 k2       | ok
k2                                                   | spn-missing spn-missing              | k1 k2       | spn-missing
k3                                                   | spn-missing spn-missing ok           | k1 k2 k3    | ok
k2                                                   | spn-missing>alias-not-canonical ok   | k1 k2       | ok
k2                                                   | spn-missing>address-without-spn spn-missing>suffix-wrong | k1 k2 | suffix-wrong
k2                                                   | spn-missing kdc-unreachable          | k1 k2       | kdc-unreachable
k2                                                   | kdc-unreachable                      | k1          | kdc-unreachable
k2                                                   | etype-refused                        | k1          | etype-refused
k2                                                   | server-closed>spn-wrong-account!     | k1          | spn-wrong-account
k2                                                   | login-untrusted!                     | k1          | login-untrusted
k2                                                   | connection-refused                   | k1          | connection-refused
k2 off                                               | spn-missing ok                       | k1 k2       | ok
k2 audit                                             | spn-missing ok                       | k1 k2       | ok
# --- nothing listed: nothing follows
k1 s                                                 | ok                                   | k1          | ok
k1 s                                                 | spn-missing                          | k1          | spn-missing
k1 s                                                 | kdc-unreachable                      | k1          | kdc-unreachable
k1 s                                                 | connection-refused                   | k1          | connection-refused
k2 s                                                 | spn-missing spn-missing              | k1 k2       | spn-missing
s k1                                                 | login-denied                         | s           | login-denied
# --- what is listed, and nothing else
k1 s on spn-missing                                  | ok                                   | k1          | ok
k1 s on spn-missing                                  | spn-missing ok                       | k1 s        | ok
k1 s on spn-missing                                  | spn-missing login-denied             | k1 s        | login-denied
k1 s on spn-missing                                  | kdc-unreachable                      | k1          | kdc-unreachable
k1 s on spn-missing                                  | realm-unknown                        | k1          | realm-unknown
k1 s on kdc-unreachable                              | kdc-unreachable ok                   | k1 s        | ok
k1 s on kdc-unreachable                              | spn-missing                          | k1          | spn-missing
k1 s on kdc-tcp-blocked                              | kdc-tcp-blocked ok                   | k1 s        | ok
k1 s on kdc-proxy-unsupported                        | kdc-proxy-unsupported ok             | k1 s        | ok
k1 s on realm-unknown                                | realm-unknown ok                     | k1 s        | ok
k1 s on realm-wrong                                  | realm-wrong ok                       | k1 s        | ok
k1 s on clock-skew                                   | clock-skew ok                        | k1 s        | ok
k1 s on etype-refused                                | etype-refused ok                     | k1 s        | ok
k1 s on spn-duplicate                                | spn-duplicate ok                     | k1 s        | ok
k1 s on no-credentials                               | no-credentials ok                    | k1 s        | ok
k1 s on tgt-expired                                  | tgt-expired ok                       | k1 s        | ok
k1 s on mechanism-missing                            | mechanism-missing ok                 | k1 s        | ok
k1 s on connection-refused                           | connection-refused ok                | k1 s        | ok
k1 s on connection-timeout                           | connection-timeout connection-timeout | k1 s       | connection-timeout
k1 s on connection-timeout                           | connection-refused                   | k1          | connection-refused
k1 s on spn-missing,kdc-unreachable                  | kdc-unreachable ok                   | k1 s        | ok
k1 s on spn-missing,kdc-unreachable                  | spn-missing ok                       | k1 s        | ok
k1 s on spn-missing,kdc-unreachable                  | clock-skew                           | k1          | clock-skew
# --- the general cause stands for its sharper forms, and not the other way round
k1 s on spn-missing                                  | spn-missing>alias-not-canonical ok   | k1 s        | ok
k1 s on spn-missing                                  | spn-missing>ptr-wrong ok             | k1 s        | ok
k1 s on ptr-wrong                                    | spn-missing>ptr-wrong ok             | k1 s        | ok
k1 s on ptr-wrong                                    | spn-missing                          | k1          | spn-missing
k1 s on ptr-wrong                                    | spn-missing>suffix-wrong             | k1          | suffix-wrong
k1 s on clock-skew                                   | kdc-unreachable>clock-skew ok        | k1 s        | ok
# --- all spellings first, and only then another way to log in
k2 s on spn-missing                                  | spn-missing ok                       | k1 k2       | ok
k2 s on spn-missing                                  | spn-missing spn-missing ok           | k1 k2 s     | ok
k2 s on spn-missing                                  | spn-missing kdc-unreachable          | k1 k2       | kdc-unreachable
k2 s on kdc-unreachable                              | kdc-unreachable ok                   | k1 s        | ok
k3 s on kdc-unreachable                              | spn-missing kdc-unreachable ok       | k1 k2 s     | ok
s k2 on connection-refused                           | connection-refused spn-missing ok    | s k1 k2     | ok
# --- never, though it is what the list's cause became
k1 s on spn-missing                                  | spn-missing>preauth-failed           | k1          | preauth-failed
k1 s on connection-refused                           | connection-refused>certificate-name  | k1          | certificate-name
k1 s on clock-skew                                   | server-closed>clock-skew             | k1          | clock-skew
# --- a ticket that the server had and rejected is no missing SPN
k1 s on spn-missing                                  | spn-missing!                         | k1          | spn-missing
k1 s on clock-skew                                   | clock-skew!                          | k1          | clock-skew
k1 s on etype-refused                                | etype-refused!                       | k1          | etype-refused
k1 s on tgt-expired                                  | tgt-expired!                         | k1          | tgt-expired
# --- NTLM behind Kerberos, and the password behind both
k1 n on spn-missing                                  | ok                                   | k1          | ok
k1 n on spn-missing                                  | spn-missing ok                       | k1 n        | ok
k2 n on spn-missing                                  | spn-missing spn-missing ok           | k1 k2 n     | ok
k1 n on spn-missing                                  | spn-missing ntlm-untrusted!          | k1 n        | ntlm-untrusted
k1 n on spn-missing                                  | kdc-unreachable                      | k1          | kdc-unreachable
k1 n on spn-missing                                  | server-closed>spn-wrong-account!     | k1          | spn-wrong-account
k1 n on spn-missing                                  | mutual-auth-missing                  | k1          | mutual-auth-missing
k1 n on port-changed                                 | spn-missing>port-changed ok          | k1 n        | ok
n on connection-refused                              | connection-refused                   | n           | connection-refused
n s on mechanism-missing                             | mechanism-missing ok                 | n s         | ok
n s on spn-missing                                   | ntlm-no-mic                          | n           | ntlm-no-mic
n s on spn-missing                                   | password-throttled                   | n           | password-throttled
k1 n s on spn-missing,mechanism-missing              | spn-missing mechanism-missing ok     | k1 n s      | ok
k1 n s on spn-missing                                | spn-missing mechanism-missing        | k1 n        | mechanism-missing
n k2 on mechanism-missing                            | mechanism-missing spn-missing ok     | n k1 k2     | ok
# --- audit and off
k1 n on spn-missing audit                            | spn-missing                          | k1          | spn-missing
k1 s on spn-missing audit                            | spn-missing                          | k1          | spn-missing
k1 s on spn-missing audit                            | kdc-unreachable                      | k1          | kdc-unreachable
k2 s on spn-missing audit                            | spn-missing spn-missing              | k1 k2       | spn-missing
k1 s on spn-missing off                              | spn-missing                          | k1          | spn-missing
)";

struct Policy {
  config::Route route;
  std::vector<Attempt> plan;
  std::vector<std::string> names; ///< of the plan's attempts
};

std::vector<std::string> words_of(const std::string &text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;)
    words.push_back(word);
  return words;
}

Cause cause_of_id(const std::string &text) {
  const auto *found = find_cause(text);
  if (!found) throw std::invalid_argument("no cause: " + text);
  return found->cause;
}

Policy policy_of(const std::string &text) {
  Policy policy;
  const auto words = words_of(text);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto &word = words[i];
    if (word == "s" || word == "n") {
      policy.plan.push_back({word == "s" ? AttemptKind::tcp_sql : AttemptKind::tcp_ntlm, std::nullopt});
      policy.names.push_back(word);
    } else if (word.starts_with('k')) {
      for (int candidate = 1; candidate <= word[1] - '0'; ++candidate) {
        policy.plan.push_back({AttemptKind::tcp_kerberos, auth::SpnCandidate{}});
        policy.names.push_back("k" + std::to_string(candidate));
      }
    } else if (word == "on") {
      std::istringstream causes(words[++i]);
      for (std::string cause; std::getline(causes, cause, ',');)
        policy.route.fallback_on.push_back(cause_of_id(cause));
    } else {
      EXPECT_THAT(word, testing::AnyOf("audit", "off"));
      policy.route.fallback = word == "audit" ? config::Fallback::audit : config::Fallback::off;
    }
  }
  return policy;
}

Met met_of(std::string word, std::size_t attempt) {
  Met met;
  met.attempt = attempt;
  met.ticket_rejected = word.ends_with('!');
  if (met.ticket_rejected) word.pop_back();
  const auto sharper = word.find('>');
  met.cause = cause_of_id(word.substr(0, sharper));
  met.diagnosed = sharper == word.npos ? met.cause : cause_of_id(word.substr(sharper + 1));
  return met;
}

std::string joined(const std::vector<std::string> &words) {
  std::string text;
  for (const auto &word : words)
    text += (text.empty() ? "" : " ") + word;
  return text;
}

/// "k1 k2 s | login-denied": runs a plan as the server leg does.
std::string outcome(const Policy &policy, const std::vector<std::string> &meets) {
  std::vector<std::string> made;
  std::string heard;
  std::size_t attempt = 0;
  for (std::size_t i = 0;; ++i) {
    made.push_back(policy.names[attempt]);
    if (i == meets.size()) throw std::invalid_argument("the row does not say what " + made.back() + " meets");
    if (meets[i] == "ok") {
      heard = "ok";
    } else {
      const auto met = met_of(meets[i], attempt);
      heard = id(met.diagnosed);
      const auto onward = what_follows(policy.route, policy.plan, met);
      EXPECT_EQ(onward.reason.empty(),
                onward.what == Follows::nothing || onward.what == Follows::another_spn);
      if (onward.what == Follows::another_spn || onward.what == Follows::fallback) {
        EXPECT_GT(onward.next, attempt) << "it never goes back";
        attempt = onward.next;
        continue;
      }
    }
    if (i + 1 != meets.size()) throw std::invalid_argument("the row says more than is met");
    return joined(made) + " | " + heard;
  }
}

TEST(Fallback, Table) {
  std::istringstream lines(table);
  std::set<std::string> rows;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    SCOPED_TRACE(line);
    std::vector<std::string> cells;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, '|');)
      cells.push_back(joined(words_of(cell)));
    ASSERT_EQ(cells.size(), 4u);
    EXPECT_TRUE(rows.insert(cells[0] + " | " + cells[1]).second) << "stands twice";
    EXPECT_EQ(outcome(policy_of(cells[0]), words_of(cells[1])), cells[2] + " | " + cells[3]);
  }
  EXPECT_GE(rows.size(), 60u);
}

// However a cause that never leads on comes into the list, past the configuration's
// own check: nothing follows.
TEST(Fallback, NeverWhateverIsListed) {
  std::size_t never = 0;
  for (const auto &entry : all_causes()) {
    auto policy = policy_of("k1 s");
    policy.route.fallback_on = {entry.cause};
    const auto onward = what_follows(policy.route, policy.plan, {0, entry.cause, entry.cause, false});
    if (entry.never.empty()) {
      EXPECT_EQ(onward.what, Follows::fallback) << entry.id;
      continue;
    }
    ++never;
    EXPECT_EQ(onward.what, Follows::withheld) << entry.id;
    EXPECT_EQ(onward.reason, "never after " + std::string(entry.id) + ": " + std::string(entry.never));
  }
  EXPECT_GE(never, 20u);
}

TEST(Fallback, TheReasonSaysWhatPolicyDid) {
  const auto reason = [](const std::string &policy, const std::string &met) {
    const auto made = policy_of(policy);
    return what_follows(made.route, made.plan, met_of(met, 0)).reason;
  };
  EXPECT_EQ(reason("k1 s", "spn-missing>ptr-wrong"), "fallback_on does not list ptr-wrong");
  EXPECT_EQ(reason("k1 s on spn-missing", "spn-missing"), "fallback_on lists spn-missing");
  EXPECT_EQ(reason("k1 s on spn-missing", "spn-missing>ptr-wrong"), "fallback_on lists spn-missing");
  EXPECT_EQ(reason("k1 s on spn-missing,ptr-wrong", "spn-missing>ptr-wrong"), "fallback_on lists ptr-wrong");
  EXPECT_EQ(reason("k1 s on spn-missing audit", "spn-missing"),
            "fallback_on lists spn-missing, and fallback is \"audit\"");
  EXPECT_EQ(reason("k1 s on spn-missing off", "spn-missing"), "fallback is \"off\"");
  EXPECT_EQ(reason("k1 s on clock-skew", "clock-skew!"), "never after a ticket that the server rejected");
}

TEST(LeadsToPartner, OnlyWhereTheTargetIsNotThereOrHasNotGotTheDatabase) {
  std::vector<std::string> leads;
  for (const auto &entry : all_causes())
    if (entry.onward == config::Onward::partner) leads.emplace_back(entry.id);
  EXPECT_THAT(leads, testing::UnorderedElementsAre("name-not-found", "browser-silent", "connection-refused",
                                                   "connection-timeout", "database-denied"));
}

} // namespace
} // namespace shim_test

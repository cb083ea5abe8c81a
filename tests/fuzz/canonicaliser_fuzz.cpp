// The way from a typed name to a canonical one, with DNS answers of any kind (auth/name.hpp).
#include "auth/spn.hpp"

#include "auth/host_name.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

/// A text of { size 1, bytes }; small sizes are names of a handful that meet each other.
std::string name_from(fuzz::Cursor &in) {
  constexpr std::string_view names[] = {"sql1",      "sql1.corp.test", "a.test", "b.test",
                                        "corp.test", "sql1.lab.test",  "",       "localhost"};
  const auto size = in.u8();
  if (size < std::size(names)) return std::string(names[size]);
  return std::string(fuzz::text_of(in.take(size)));
}

auth::DnsAnswer answer_from(fuzz::Cursor &in, const auth::DnsQuestion &question) {
  const auto head = in.u8();
  auth::DnsAnswer answer{question, static_cast<auth::DnsOutcome>(head % 8), {}, "127.0.0.1:53", false, {}};
  fuzz::require(!auth::to_string(answer.outcome).empty(), "an outcome has a name");
  for (int count = head >> 3; count > 0 && !in.empty(); --count) {
    auth::DnsRecord record;
    record.name = in.u8() % 2 == 0 ? question.name : name_from(in);
    record.type = static_cast<auth::DnsType>(in.u8() % 5);
    constexpr std::string_view addresses[] = {"10.0.0.5", "2001:db8::5"};
    const bool address = record.type == auth::DnsType::a || record.type == auth::DnsType::aaaa;
    record.data = address && in.u8() % 4 != 0 ? std::string(addresses[record.type == auth::DnsType::aaaa])
                                              : name_from(in);
    fuzz::require(!auth::to_string(record.type).empty(), "a type has a name");
    answer.records.push_back(std::move(record));
  }
  return answer;
}

} // namespace

FUZZ_TARGET(canonicaliser, 8192) {
  fuzz::Cursor in(input);
  auth::Target target;
  target.host = name_from(in);
  // As parse_target gives it: an address has inet_ntop's spelling.
  if (auto address = auth::normal_address(target.host); !address.empty()) {
    target.host = std::move(address);
    target.is_address = true;
  } else if (!auth::name_fault(target.host).empty()) {
    target.host = "sql1"; // no such name ever comes from parse_target
  }
  auth::SearchPolicy policy{{}, in.u8() % 16};
  for (int count = in.u8() % 8; count > 0; --count)
    policy.search.push_back(name_from(in));

  auth::Procedures procedures;
  if (const auto head = in.u8(); head != 0) {
    procedures.order.clear();
    for (int count = head % 8; count > 0; --count)
      procedures.order.push_back(static_cast<auth::Procedure>(in.u8() % 6));
    if (head >= 128) procedures.map = {{name_from(in), "mapped.test"}};
  }

  auth::Canonicaliser machine(target, policy, procedures);
  for (std::size_t rounds = 0;; ++rounds) {
    fuzz::require(rounds <= policy.search.size() + 2,
                  "a machine ends: each name is asked once, and their PTRs");
    auto action = fuzz::within(64 * 1024 + 16 * input.size(), [&] { return machine.next(); });
    if (const auto *facts = std::get_if<auth::NameFacts>(&action)) {
      fuzz::require(!facts->addresses.empty() && !facts->chain.empty(),
                    "what is found has a chain and an address");
      fuzz::require(facts->by != auth::Procedure::forward || facts->forward() == facts->canonical,
                    "the name that `forward` gives ends the chain");
      for (const auto why : {auth::Why::port, auth::Why::typed, auth::Why::reverse})
        for (const auto &one :
             auth::spn_candidates(*facts, 1433, "", {}, {.identity = "R", .srv = {}}, {.order = {why}}))
          fuzz::require(one.spn.ends_with("@R") && !auth::spn_host(one.spn).empty(),
                        "a candidate has host and realm");
      fuzz::require(facts->chain.size() <= 9, "a chain has at most 8 links");
      for (const auto &address : facts->addresses)
        fuzz::require(auth::normal_address(address) == address, "addresses are addresses");
      fuzz::require(facts->via != "dns" || auth::name_fault(facts->canonical).empty(),
                    "a name that an SPN can hold");
      return;
    }
    if (const auto *error = std::get_if<auth::NameError>(&action)) {
      fuzz::require(error->outcome != auth::DnsOutcome::ok && !error->detail.empty(), "a failure says why");
      return;
    }
    std::vector<auth::DnsAnswer> answers;
    for (const auto &question : std::get<auth::AskDns>(action).questions) {
      fuzz::require(auth::name_fault(question.name).empty(), "only names are asked");
      answers.push_back(answer_from(in, question));
    }
    machine.answer(std::move(answers));
  }
}

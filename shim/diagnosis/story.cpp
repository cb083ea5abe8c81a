#include "shim/diagnosis/story.hpp"

#include "auth/error.hpp"
#include "auth/target.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace shim {

namespace {
template <class... F> struct Overloaded : F... { using F::operator()...; };
} // namespace

Story read(std::span<const Record> trail) {
  Story story;
  const auto at_another_server = [&] { // what was learned before is about another one
    story.dns_failure = nullptr;
    story.alias_end.clear();
    story.target = nullptr;
    story.browser = nullptr;
    story.plan = nullptr;
    story.spn.clear();
    story.spn_refused = nullptr;
    story.kdc_refusal = nullptr;
    story.ticket = nullptr;
    story.connected = nullptr;
    story.tls = nullptr;
    story.messages.clear();
    story.token_sent = story.token_answered = false;
  };
  const auto take = Overloaded{
      [&](const Accepted &event) { story.accepted = &event; },
      [&](const CallerProven &event) { story.caller = &event; },
      [&](const LoginReceived &event) { story.login = &event; },
      [&](const PolicyDecided &event) { story.policy = &event; },
      [&](const DnsAnswered &event) {
        // The first one: later ones are what the search list made of the name.
        if (event.rcode != "ok" && !story.dns_failure) story.dns_failure = &event;
        constexpr std::string_view cname = "CNAME ";
        for (const std::string &answer : event.answers)
          if (!story.target && answer.starts_with(cname)) story.alias_end = answer.substr(cname.size());
      },
      [&](const TargetResolved &event) {
        story.target = &event;
        const auto typed = auth::parse_target(event.typed);
        story.typed_short = typed && !typed->is_address && !typed->host.contains('.') &&
                            (event.via == "dns" || event.via == "system"); // the hosts file completes nothing
      },
      [&](const BrowserAnswered &event) {
        if (event.port != 0) story.browser = &event;
      },
      [&](const PlanMade &event) { story.plan = &event; },
      [&](const KdcAnswered &event) {
        if (event.code == auth::krb::preauth_required) return;
        story.kdc = &event;
        story.kdc_refusal = event.code == 0 ? nullptr : &event;
        if (event.code >= 0 || event.kdc.empty()) return; // empty: there was none to ask
        // A login may meet the same one several times.
        auto silent = fmt::format("{} ({})", event.kdc, event.text);
        if (std::ranges::find(story.silent_kdcs, silent) == story.silent_kdcs.end())
          story.silent_kdcs.push_back(std::move(silent));
      },
      [&](const SpnTried &event) {
        story.client = event.client;
        if (event.outcome == Tried::refused) {
          if (!story.spn_refused) story.spn = event.spn;
          if (!story.spn_refused) story.spn_refused = &event;
        } else if (event.outcome == Tried::ticket) {
          story.spn = event.spn;
          story.spn_refused = nullptr;
        }
      },
      [&](const TicketChosen &event) {
        story.ticket = &event;
        story.spn = event.spn;
        story.spn_refused = nullptr;
        story.kdc_refusal = nullptr;
      },
      [&](const CredentialsTaken &event) {
        story.credentials = &event;
        story.client = event.principal;
      },
      [&](const ServerConnected &event) {
        story.connected = &event;
        story.tls = nullptr;
        story.messages.clear();
        story.token_sent = story.token_answered = false;
      },
      [&](const TlsAgreed &event) {
        if (event.leg == Side::server) story.tls = &event;
      },
      [&](const FallbackTaken &) {
        // What was learned before is about another way to log in.
        story.plan = nullptr;
        story.spn.clear();
        story.spn_refused = nullptr;
        story.kdc_refusal = nullptr;
        story.ticket = nullptr;
      },
      [&](const RedirectFollowed &) { at_another_server(); },
      [&](const PartnerTried &) { at_another_server(); },
      [&](const TokenExchanged &event) {
        story.token_sent |= event.sent > 0;
        story.token_answered |= event.received > 0 || event.done;
      },
      [&](const ServerSaid &event) { story.messages.push_back(&event); },
      [](const auto &) {},
  };
  for (const Record &record : trail)
    std::visit(take, record.event);

  if (story.spn.empty() && story.plan)
    for (const std::string &attempt : story.plan->attempts) {
      const std::size_t blank = attempt.find(' ');
      if (story.spn.empty() && blank != std::string::npos) story.spn = attempt.substr(blank + 1);
    }
  return story;
}

const ServerSaid *telling_message(const Story &story) {
  for (const auto numbers : {std::array{4060u, 4064u}, {18452u, 18452u}, {18456u, 18456u}}) {
    const auto found = std::ranges::find_if(story.messages, [&](const ServerSaid *message) {
      return message->number == numbers[0] || message->number == numbers[1];
    });
    if (found != story.messages.end()) return *found;
  }
  return nullptr;
}

bool binding_sent(const Story &story) {
  return story.tls && !story.tls->binding.empty() && story.tls->binding != "none";
}

} // namespace shim

#include "shim/diagnosis/diagnose.hpp"

#include "shim/diagnosis/facts.hpp"
#include "shim/diagnosis/sharpen.hpp"
#include "shim/log/render.hpp"

#include <utility>

namespace shim {

namespace {

/// For causes that can be anybody's: who was to act in that step.
Fault fault_of(Cause cause, Step step) {
  const bool of_either_leg = cause == Cause::tls_mismatch || cause == Cause::tls_version_refused;
  if (of_either_leg && step == Step::client_login) return Fault::client;
  if (cause != Cause::deadline && cause != Cause::protocol_violation) return entry(cause).fault;
  if (step == Step::caller || step == Step::client_login) return Fault::client;
  if (step == Step::resolve) return Fault::dns;
  if (step == Step::ticket) return Fault::kdc;
  if (step == Step::connect) return Fault::network;
  if (step == Step::server_login) return Fault::server;
  return entry(cause).fault;
}

// ---- what it rests on ----

using config::Area;

bool shows(Area area, const Event &event) {
  const auto is_one_of = [&event]<class... Kind>(std::type_identity<Kind>...) {
    return (std::holds_alternative<Kind>(event) || ...);
  };
  switch (area) {
  case Area::caller:
    return is_one_of(std::type_identity<Accepted>{}, std::type_identity<CallerProven>{},
                     std::type_identity<PreloginAnswered>{}, std::type_identity<LoginReceived>{},
                     std::type_identity<PolicyDecided>{});
  case Area::names:
    return is_one_of(std::type_identity<PolicyDecided>{}, std::type_identity<DnsAnswered>{},
                     std::type_identity<TargetAliased>{}, std::type_identity<TargetResolved>{},
                     std::type_identity<BrowserAnswered>{});
  case Area::spn:
    return is_one_of(std::type_identity<DnsAnswered>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<KdcAnswered>{}, std::type_identity<SpnTried>{});
  case Area::ticket:
    return is_one_of(std::type_identity<CredentialsTaken>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<KdcAnswered>{}, std::type_identity<SpnTried>{});
  case Area::connection:
    return is_one_of(std::type_identity<DnsAnswered>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<AttemptEnded>{});
  case Area::tls:
    return is_one_of(std::type_identity<PolicyDecided>{}, std::type_identity<TargetAliased>{},
                     std::type_identity<TargetResolved>{}, std::type_identity<BrowserAnswered>{},
                     std::type_identity<ServerConnected>{}, std::type_identity<PreloginAnswered>{},
                     std::type_identity<TlsAgreed>{});
  case Area::server:
    return is_one_of(std::type_identity<TicketChosen>{}, std::type_identity<ServerConnected>{},
                     std::type_identity<PreloginAnswered>{}, std::type_identity<TlsAgreed>{},
                     std::type_identity<TokenExchanged>{}, std::type_identity<ServerSaid>{},
                     std::type_identity<RedirectFollowed>{});
  }
  std::unreachable();
}

/// A message of a higher class is an error (MS-TDS 2.2.7.10).
constexpr std::uint64_t most_informative_class = 10;

/// Puts what was said, and by whom, into `diagnosis`.
void quote(Diagnosis &diagnosis, const Story &story, const Failure &failure) {
  const auto area = entry(diagnosis.cause).area;
  const bool server_step =
      failure.step == Step::server_login; // what the server says of clocks and keys is in the detail
  if ((area == Area::ticket || area == Area::spn) && !server_step && story.kdc_refusal &&
      story.kdc_refusal->code > 0) {
    diagnosis.said = story.kdc_refusal->text;
    diagnosis.said_by = "KDC";
    return;
  }
  const ServerSaid *message = telling_message(story);
  for (const ServerSaid *said : story.messages)
    if (!message && said->severity > most_informative_class) message = said;
  if (area == Area::server && message) {
    diagnosis.said = message->text;
    diagnosis.said_by = "server";
    return;
  }
  diagnosis.said = failure.detail;
  if (diagnosis.said.empty() && area == Area::ticket && story.spn_refused)
    diagnosis.said = story.spn_refused->detail;
}

} // namespace

Diagnosis diagnose(std::span<const Record> trail, const Failure &failure) {
  const Story story = read(trail);
  Diagnosis diagnosis;
  diagnosis.cause = sharpen(story, failure);
  diagnosis.fault = fault_of(diagnosis.cause, failure.step);
  diagnosis.spn = story.spn;
  quote(diagnosis, story, failure);

  const Facts facts = facts_of(story, failure);
  diagnosis.sentence = config::fill(entry(diagnosis.cause).sentence, facts);
  diagnosis.remedy = config::fill(remedy_of(diagnosis.cause, story), facts);
  for (const Record &record : trail)
    if (shows(entry(diagnosis.cause).area, record.event)) diagnosis.evidence.push_back(to_text(record));
  return diagnosis;
}

std::optional<Diagnosis> diagnose(std::span<const Record> trail) {
  const Refused *refused = nullptr;
  for (const Record &record : trail)
    if (const auto *found = std::get_if<Refused>(&record.event)) refused = found;
  if (!refused) return std::nullopt;
  const CauseEntry *known = find_cause(refused->cause);
  if (!known) return std::nullopt;
  return diagnose(trail, Failure{.step = refused->step.value_or(Step::accept),
                                 .cause = known->cause,
                                 .detail = refused->detail});
}

Refused refused(const Diagnosis &diagnosis, const Failure &failure) {
  return {failure.step, diagnosis.fault, std::string(id(diagnosis.cause)), failure.detail, diagnosis.remedy};
}

} // namespace shim

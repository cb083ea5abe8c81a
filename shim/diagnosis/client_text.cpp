#include "shim/diagnosis/client_text.hpp"

#include "shim/log/render.hpp"

#include <fmt/format.h>

namespace shim {

std::string client_text(const Diagnosis &diagnosis, std::string_view conn) {
  // Shares of the 2,000: the remedy and the connection id are what a person needs most, so no
  // other part may push them out.
  constexpr std::size_t sentence_share = 500, spn_share = 250, said_share = 250, remedy_share = 850,
                        conn_share = 32;
  std::string text =
      fmt::format("{}: {}", id(diagnosis.cause), printable(diagnosis.sentence, sentence_share));
  if (!diagnosis.spn.empty() && !diagnosis.sentence.contains(diagnosis.spn))
    text += fmt::format(" SPN: {}.", printable(diagnosis.spn, spn_share));
  if (!diagnosis.said.empty())
    text += diagnosis.said_by.empty() ? fmt::format(" Detail: {}.", printable(diagnosis.said, said_share))
                                      : fmt::format(" The {} said: \"{}\".", diagnosis.said_by,
                                                    printable(diagnosis.said, said_share));
  text += fmt::format(" Remedy: {} (sqlshim connection {})", printable(diagnosis.remedy, remedy_share),
                      printable(conn, conn_share));
  return text;
}

} // namespace shim

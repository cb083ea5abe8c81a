// Just enough DER (X.690) to find a Kerberos message in a token. Internal to auth/.
#pragma once

#include "auth/error.hpp"

#include <optional>

namespace auth::der {

/// One-byte tags that are met in KRB-ERROR and SPNEGO.
enum Tag : std::uint8_t {
  integer = 0x02,
  octet_string = 0x04,
  oid = 0x06,
  general_string = 0x1b,
  generalized_time = 0x18,
  sequence = 0x30,
  application_0 = 0x60, ///< GSSAPI's initial framing, RFC 2743 3.1
  krb_ap_rep = 0x6f,    ///< [APPLICATION 15], RFC 4120 5.5.2
  krb_error = 0x7e,     ///< [APPLICATION 30], RFC 4120 5.9.1
  context_0 = 0xa0,     ///< [n] EXPLICIT is context_0 + n
};

/// Reads elements from front to back. Nothing is read past the view; a wrong tag or length gives nullopt and
/// leaves the reader where it was.
class Reader {
public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  ByteView rest() const { return rest_; }
  /// The tag of the next element; 0 at the end (no element has it).
  std::uint8_t peek() const { return rest_.empty() ? std::uint8_t{0} : rest_.front(); }
  /// Contents of the next element if it has this tag.
  std::optional<ByteView> take(std::uint8_t tag);

private:
  ByteView rest_;
};

/// Contents of an element inside an EXPLICIT tag: take(outer), then take(inner), nothing after it.
std::optional<ByteView> take_explicit(Reader &reader, std::uint8_t outer, std::uint8_t inner);
/// INTEGER of at most 4 bytes.
std::optional<std::int32_t> to_integer(ByteView contents);
/// GeneralizedTime as Kerberos writes it, "20260730120000Z" (RFC 4120 5.2.3).
std::optional<Time> to_time(ByteView contents);

} // namespace auth::der

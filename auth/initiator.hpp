// The security context as its initiator: tokens out, tokens in. GSSAPI with one service ticket and nothing
// else, so that it can never ask a KDC, a DNS server or a file by itself.
#pragma once

#include "auth/error.hpp"
#include "auth/session_key.hpp"
#include "auth/ticket.hpp"

#include <memory>

namespace auth {

enum class Wrapping { spnego, raw };

struct InitiatorOptions {
  Wrapping wrapping = Wrapping::spnego;
  bool mutual = true; ///< ask for mutual authentication
};

/// One step's outcome. `token` goes to the server (may be empty when complete).
struct Step {
  Bytes token;
  bool complete = false;
  bool mutual = false;           ///< complete, and the server has proven itself (GSS_C_MUTUAL_FLAG granted)
  std::uint32_t flags_asked = 0; ///< GSS_C_*_FLAG bits
  std::uint32_t flags_granted = 0;
};

class Initiator {
public:
  virtual ~Initiator() = default;
  /// Binds the context to the TLS channel beneath it: `channel` is the application data of the bindings
  /// ("tls-unique:…", RFC 5929 3), with no addresses (RFC 4121 4.1.1.2). Before the first step, or it has no
  /// effect. It is not kept longer than the initiator, and is not a secret.
  virtual void bind(ByteView channel) = 0;
  /// First call with an empty token, then with each token of the server. Error kinds: key_wrong,
  /// key_version_wrong, clock_skew, ticket_expired, … from a KRB-ERROR inside the server's token (see
  /// find_krb_error), mutual_failed when the server's proof is wrong, malformed otherwise. After an Error or
  /// `complete` it must not be called again.
  virtual Result<Step> step(ByteView server_token) = 0;
  /// Who the context authenticates as, as GSSAPI tells it; equals the ticket's client
  /// (checked before the first token).
  virtual const std::string &source() const = 0;
  /// Once the context is complete. Error: the mechanism gives none away.
  virtual Result<SessionKey> session_key() const = 0;
};

/// Makes a private MEMORY ccache with that one ticket (destroyed with the initiator), acquires a credential
/// with the SPNEGO OID and neg_mechs {krb5} (or krb5 alone for raw), checks that its name is
/// `ticket->client`. GSS_C_DELEG_FLAG is never set. Flags asked: mutual, replay, sequence, integ.
Result<std::unique_ptr<Initiator>> make_initiator(TicketPtr ticket, InitiatorOptions options);

} // namespace auth

// The peer's side of one login: PRELOGIN, the agreement on TLS, LOGIN7, SSPI, and the answer.
#pragma once

#include "tools/lab/peer/acceptor.hpp"
#include "tools/lab/peer/channel.hpp"
#include "tools/lab/peer/peer_options.hpp"
#include "tools/lab/peer/sql/session.hpp"

namespace lab {

class PeerLogin {
public:
  /// All of them outlive it. `tls`: null where the peer has no certificate.
  PeerLogin(const PeerOptions &options, const TlsContext *tls, Wire &wire, Channel &channel,
            Recorder &recorder);

  /// Begins a connection: with strict, TLS is due at once.
  void begin();
  /// From the first message to the answer of LOGIN7. `connection` has the facts of the connection. The
  /// session; none where the login was refused. Throws ConnectionEnded.
  shim::Task<std::optional<Session>> run(Session connection);
  /// Does what the options ask for at this moment.
  shim::Task<> at(Moment moment);
  bool mars() const { return mars_; }

private:
  shim::Task<tds::Message> expect(std::initializer_list<tds::PacketType> types);
  shim::Task<> send(tds::ByteView payload);
  shim::Task<> answer_prelogin(tds::ByteView payload);
  void begin_tls(TlsMode mode);
  void judge_version(tds::Version version) const;
  tds::Bytes check_password(const tds::Login7 &login, Session &session) const;
  shim::Task<tds::Bytes> authenticate(const tds::Login7 &login, Session &session);
  tds::Bytes channel_bindings() const;
  bool binding_refused(const Acceptor &acceptor, const Acceptor::Step &step) const;
  tds::Bytes authorize(const Session &session) const;

  const PeerOptions &options_;
  const TlsContext *tls_;
  Wire &wire_;
  Channel &channel_;
  Recorder &recorder_;
  std::uint16_t spid_ = 0;
  std::string principal_; // who logged in by Kerberos or NTLM
  bool mars_ = false;
};

} // namespace lab

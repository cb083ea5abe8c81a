// The peer's answer to LOGIN7, as SQL Server gives it. Pure.
#pragma once

#include "tools/lab/peer/peer_options.hpp"
#include "tools/lab/peer/sql/session.hpp"

#include "tds/login7.hpp"

namespace lab {

/// The facts of the login that the session keeps; who it is, is not known yet.
Session open_session(const tds::Login7 &login, const PeerOptions &options);

/// "svc-reports@CORP.TEST" as SUSER_SNAME() shows it: "CORP\svc-reports".
std::string windows_name(const std::string &principal, const PeerOptions &options);

/// LOGINACK with all that goes with it, up to DONE; with the faults that `options` ask for.
tds::Bytes login_accepted(const Session &session, const tds::Login7 &login, const PeerOptions &options);

/// 18456 for `name`; with `database`, 4060 before it.
tds::Bytes login_denied(const Session &session, const std::string &name, const std::string &database = {});
/// 18452: integrated login that the server does not believe.
tds::Bytes login_untrusted(const Session &session);
tds::Bytes login_failed(const Session &session, const LoginError &error);

} // namespace lab

#include "shim/smb/session.hpp"

#include <algorithm>
#include <openssl/crypto.h>

namespace shim::smb {
namespace {

std::string says(std::string_view command, Status status) {
  return std::string(command) + " is answered with " + to_string(status);
}

Fault fault_of(Status status) {
  switch (status) {
  case Status::access_denied:
    return Fault::access_denied;
  case Status::logon_failure:
    return Fault::logon_failure;
  default:
    return Fault::server_error;
  }
}

} // namespace

Session::Session(SessionRequest request) : request_(std::move(request)) {
  asked_.dialects = request_.dialects;
  asked_.client = request_.client;
  asked_.salt = request_.salt;
  asked_.signers = request_.signers;
  if (request_.encrypt != Encrypt::off) {
    asked_.capabilities = capability_encryption;
    asked_.ciphers = request_.ciphers;
  }
}

Failure Session::fail(Fault fault, std::string detail) {
  failure_ = Failure{fault, std::move(detail)};
  return *failure_;
}

Action Session::next() {
  if (failure_) return *failure_;
  if (!begun_) send_negotiate();
  begun_ = true;
  for (;;) {
    if (failure_) return *failure_;
    if (!channel_.output().empty()) return Send{};
    if (state_ == State::stands) return Stands{};
    if (waits_for_token_) return NeedToken{server_token_};
    auto reply = channel_.next_reply();
    if (!reply) return fail(reply.error().fault, reply.error().detail);
    if (!*reply) {
      if (ended_) return fail(Fault::closed, "the server closed the connection");
      return Receive{};
    }
    if (auto action = take(**reply)) return *action;
  }
}

std::optional<Action> Session::take(const Reply &reply) {
  switch (state_) {
  case State::negotiate:
    return on_negotiate(reply);
  case State::token:
    return on_session_setup(reply);
  case State::tree:
    return on_tree_connect(reply);
  case State::validate:
    return on_validate(reply);
  case State::last_token:
  case State::stands:
    break;
  }
  return fail(Fault::protocol_violation, "an answer where none is due");
}

void Session::send_negotiate() {
  channel_.request(Command::negotiate, asked_);
  preauth_.add(channel_.last_request());
}

std::optional<Action> Session::on_negotiate(const Reply &reply) {
  if (reply.header.status == Status::not_supported)
    return fail(Fault::dialect_refused, "the server knows none of the dialects that are asked for");
  if (reply.header.status != Status::success)
    return fail(Fault::server_error, says("NEGOTIATE", reply.header.status));
  auto answered = decode_negotiate_response(reply.message);
  if (!answered) return fail(Fault::protocol_violation, answered.error().text());
  answered_ = *answered;
  facts_.dialect = answered_.dialect;
  facts_.server = answered_.server;
  if (std::ranges::find(request_.dialects, answered_.dialect) == request_.dialects.end())
    return fail(Fault::dialect_refused,
                "the server chose dialect " + to_string(answered_.dialect) + ", which was not asked for");
  if (!(answered_.mode & signing_enabled)) return fail(Fault::signing_refused, "the server signs nothing");
  if (answered_.dialect == Dialect::v311) {
    if (!answered_.preauth_sha512)
      return fail(Fault::protocol_violation, "3.1.1 without a hash of the preauthentication");
    const auto offered = [](const auto &list, const auto &one) {
      return !one || *one == std::decay_t<decltype(*one)>{} || std::ranges::find(list, *one) != list.end();
    };
    if (!offered(asked_.ciphers, answered_.cipher))
      return fail(Fault::encryption_refused, "the server chose a cipher that was not offered");
    if (answered_.signer && std::ranges::find(asked_.signers, *answered_.signer) == asked_.signers.end())
      return fail(Fault::signing_refused, "the server chose a signature that was not offered");
    facts_.signer = answered_.signer.value_or(Signer::aes_cmac);
    facts_.cipher = answered_.cipher.value_or(Cipher::none);
  } else {
    facts_.signer = answered_.dialect >= Dialect::v300 ? Signer::aes_cmac : Signer::hmac_sha256;
    const bool both = (asked_.capabilities & answered_.capabilities & capability_encryption) != 0;
    facts_.cipher = answered_.dialect >= Dialect::v300 && both ? Cipher::aes128_ccm : Cipher::none;
  }
  if (request_.encrypt == Encrypt::required && facts_.cipher == Cipher::none)
    return fail(Fault::encryption_refused,
                "the server cannot encrypt by dialect " + to_string(answered_.dialect));
  preauth_.add(reply.message);
  state_ = State::token;
  waits_for_token_ = true;
  return std::nullopt;
}

void Session::token(Bytes token, bool complete, Bytes session_key) {
  waits_for_token_ = false;
  complete_ = complete;
  if (complete) session_key_ = std::move(session_key);
  if (state_ == State::last_token) return establish();
  if (++rounds_ > most_rounds) {
    fail(Fault::protocol_violation, "SESSION_SETUP has no end");
    return;
  }
  SessionSetupRequest setup;
  setup.token = std::move(token);
  channel_.request(Command::session_setup, setup);
  preauth_.add(channel_.last_request());
}

std::optional<Action> Session::on_session_setup(const Reply &reply) {
  const auto status = reply.header.status;
  if (status != Status::success && status != Status::more_processing) {
    // All that a logon can come to is in the server's status: wrong password, disabled, locked, no right.
    const auto fault = fault_of(status);
    return fail(fault == Fault::server_error ? Fault::logon_failure : fault, says("SESSION_SETUP", status));
  }
  auto setup = decode_session_setup_response(reply.message);
  if (!setup) return fail(Fault::protocol_violation, setup.error().text());
  if (channel_.session_id == 0) channel_.session_id = reply.header.session_id;
  if (reply.header.session_id != channel_.session_id || channel_.session_id == 0)
    return fail(Fault::protocol_violation, "the session has another number, or none");
  server_token_ = std::move(setup->token);
  if (status == Status::more_processing) {
    if (complete_) return fail(Fault::protocol_violation, "more is asked for where nothing is left to say");
    preauth_.add(reply.message);
    waits_for_token_ = true;
    return std::nullopt;
  }
  if (setup->flags & session_guest) return fail(Fault::guest_refused, "the server takes us for a guest");
  if (setup->flags & session_anonymous) return fail(Fault::guest_refused, "the server takes us for nobody");
  session_flags_ = setup->flags;
  last_ = reply;
  state_ = State::last_token;
  if (complete_)
    establish();
  else
    waits_for_token_ = true;
  return std::nullopt;
}

void Session::establish() {
  if (!complete_) {
    fail(Fault::logon_failure, "the server ends the logon before it has proven itself");
    return;
  }
  if (session_key_.empty()) {
    fail(Fault::signing_refused, "the security context has no key to sign with");
    return;
  }
  channel_.protect(make_keys(facts_.dialect, facts_.cipher, session_key_, preauth_.value()), facts_.signer,
                   facts_.cipher);
  OPENSSL_cleanse(session_key_.data(), session_key_.size());
  if (!channel_.is_signed(*last_)) {
    fail(Fault::signing_refused, "the answer that ends the logon is not signed with the session's key");
    return;
  }
  last_.reset();
  const bool demanded = session_flags_ & session_encrypts;
  if (demanded && facts_.cipher == Cipher::none) {
    fail(Fault::encryption_refused, "the server demands encryption, which was not agreed on");
    return;
  }
  if (facts_.cipher != Cipher::none) channel_.seal_all();
  send_tree_connect();
}

void Session::send_tree_connect() {
  channel_.request(Command::tree_connect,
                   TreeConnectRequest{tds::to_utf16("\\\\" + request_.host + "\\IPC$")});
  state_ = State::tree;
}

std::optional<Action> Session::on_tree_connect(const Reply &reply) {
  if (reply.header.status != Status::success)
    return fail(fault_of(reply.header.status), says("TREE_CONNECT to IPC$", reply.header.status));
  const auto tree = decode_tree_connect_response(reply.message);
  if (!tree) return fail(Fault::protocol_violation, tree.error().text());
  if (tree->type != share_is_pipe) return fail(Fault::protocol_violation, "IPC$ is no share of pipes");
  if ((tree->flags & share_encrypts) && !channel_.sealed())
    return fail(Fault::encryption_refused, "IPC$ demands encryption, which was not agreed on");
  channel_.tree_id = reply.header.tree_id;
  if (facts_.dialect == Dialect::v311) {
    state_ = State::stands;
    return std::nullopt;
  }
  channel_.request(Command::ioctl,
                   IoctlRequest{fsctl_validate_negotiate, no_file, encode_validate_negotiate(asked_), 24});
  state_ = State::validate;
  return std::nullopt;
}

std::optional<Action> Session::on_validate(const Reply &reply) {
  const auto status = reply.header.status;
  // A server that knows nothing above 2.1 does not know the question either; that it does not is signed.
  const bool unknown = status == Status::file_closed || status == Status::not_supported ||
                       status == Status::invalid_device_request || status == Status::fs_driver_required;
  if (unknown && facts_.dialect < Dialect::v300) {
    state_ = State::stands;
    return std::nullopt;
  }
  if (status != Status::success) return fail(Fault::dialect_refused, says("VALIDATE_NEGOTIATE", status));
  const auto output = decode_ioctl_response(reply.message);
  if (!output) return fail(Fault::protocol_violation, output.error().text());
  const auto said = decode_validate_negotiate_response(*output);
  if (!said) return fail(Fault::protocol_violation, said.error().text());
  if (said->capabilities != answered_.capabilities || said->server != answered_.server ||
      said->mode != answered_.mode || Dialect{said->dialect} != answered_.dialect)
    return fail(Fault::dialect_refused, "what the server has agreed on is not what we were told");
  state_ = State::stands;
  return std::nullopt;
}

} // namespace shim::smb

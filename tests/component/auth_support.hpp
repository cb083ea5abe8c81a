// What the component tests of auth/ share: the carrier that auth/ does not have, an acceptor as a server has
// one, keytabs made by hand.
#pragma once

#include "auth/exchange.hpp"
#include "auth/handles.hpp"
#include "auth/initiator.hpp"
#include "tools/lab/realm.hpp"

#include <arpa/inet.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace auth_test {

using namespace auth;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

/// Puts the gtest failure into every helper that cannot go on.
[[noreturn]] inline void fail(const std::string &what) { throw std::runtime_error(what); }

/// One message to a KDC and its answer, by a blocking TCP connection (RFC 4120 7.2.2: four
/// bytes of length in front).
inline Bytes carry(const std::string &address, std::uint16_t port, ByteView message) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &peer.sin_addr);
  const timeval limit{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, reinterpret_cast<sockaddr *>(&peer), sizeof peer) != 0) {
    close(fd);
    fail("no KDC at " + address);
  }
  const std::uint32_t size = htonl(static_cast<std::uint32_t>(message.size()));
  Bytes out(sizeof size);
  memcpy(out.data(), &size, sizeof size);
  out.insert(out.end(), message.begin(), message.end());
  bool good = send(fd, out.data(), out.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(out.size());
  std::uint32_t length = 0;
  good = good && recv(fd, &length, sizeof length, MSG_WAITALL) == sizeof length;
  Bytes in(good ? ntohl(length) : 0);
  good = good && recv(fd, in.data(), in.size(), MSG_WAITALL) == static_cast<ssize_t>(in.size());
  close(fd);
  if (!good) fail("the KDC at " + address + " did not answer");
  return in;
}

/// An exchange carried to its end.
struct Driven {
  TicketPtr ticket;
  std::optional<Error> error;
  std::vector<AskKdc> asked;
  std::vector<KdcReply> replies;
};

inline Driven drive(Exchange &exchange, const lab::Realm &realm) {
  Driven driven;
  while (true) {
    auto action = exchange.next();
    if (auto *ticket = std::get_if<TicketPtr>(&action)) driven.ticket = *ticket;
    if (auto *error = std::get_if<Error>(&action)) driven.error = *error;
    auto *ask = std::get_if<AskKdc>(&action);
    if (!ask) return driven;
    if (driven.asked.size() == 10) fail("the exchange does not end");
    driven.asked.push_back(*ask);
    exchange.reply(carry(realm.kdc_address(), realm.kdc_port(), ask->message));
    driven.replies.push_back(exchange.last_reply().value());
  }
}

inline Driven get_tgt(std::shared_ptr<const Identity> identity, const lab::Realm &realm, Trace trace = {}) {
  return drive(*request_tgt(std::move(identity), realm.krb5_conf(), std::move(trace)), realm);
}

inline Driven get_service_ticket(TicketPtr tgt, const std::string &spn, const lab::Realm &realm,
                                 Trace trace = {}) {
  return drive(*request_service_ticket(std::move(tgt), spn, realm.krb5_conf(), std::move(trace)), realm);
}

/// Of a thing that must have worked: it, or an exception with the reason.
template <class T> T value(Result<T> result) {
  if (!result) fail(std::string(to_string(result.error().kind)) + ": " + result.error().text);
  return std::move(*result);
}
inline TicketPtr ticket(Driven driven) {
  if (!driven.ticket)
    fail(driven.error ? std::string(to_string(driven.error->kind)) + ": " + driven.error->text : "no ticket");
  return driven.ticket;
}

inline void check(krb5_error_code code, const char *what) {
  if (code) fail(std::string(what) + ": " + library_text(nullptr, code));
}

/// A keytab with one key of our own making: any version, and not what the KDC has.
inline void write_keytab(const fs::path &path, const std::string &principal, krb5_kvno kvno,
                         krb5_enctype etype) {
  const Context context = value(make_bare_context());
  Principal name(context.get());
  check(krb5_parse_name(context.get(), principal.c_str(), name.out()), "parse_name");
  Keytab keytab(context.get());
  check(krb5_kt_resolve(context.get(), ("FILE:" + path.string()).c_str(), keytab.out()), "kt_resolve");
  krb5_keytab_entry entry{};
  entry.principal = name.get();
  entry.vno = kvno;
  check(krb5_c_make_random_key(context.get(), etype, &entry.key), "make_random_key");
  check(krb5_kt_add_entry(context.get(), keytab.get(), &entry), "kt_add_entry");
  krb5_free_keyblock_contents(context.get(), &entry.key);
}

/// The server's side of a context, as SQL Server has one: accepts by a keytab. It keeps no replay
/// cache, so it writes no files.
class Acceptor {
public:
  explicit Acceptor(const fs::path &keytab) {
    const std::string name = "FILE:" + keytab.string();
    gss_key_value_element_desc elements[] = {{"keytab", name.c_str()}, {"rcache", "none:"}};
    const gss_key_value_set_desc store{2, elements};
    OM_uint32 minor = 0;
    if (GSS_ERROR(gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET,
                                        GSS_C_ACCEPT, &store, &credential_, nullptr, nullptr)))
      fail("the acceptor cannot use keytab " + keytab.string());
  }
  Acceptor(const Acceptor &) = delete;
  Acceptor &operator=(const Acceptor &) = delete;
  ~Acceptor() {
    OM_uint32 minor = 0;
    gss_delete_sec_context(&minor, &context_, GSS_C_NO_BUFFER);
    gss_release_cred(&minor, &credential_);
  }

  /// The channel that clients must be bound to, where they name one.
  void bind(std::string_view channel) { channel_ = channel; }

  /// Of a complete context, as GSSAPI gives it.
  Bytes session_key() const {
    OM_uint32 minor = 0;
    gss_buffer_set_t found = GSS_C_NO_BUFFER_SET;
    gss_inquire_sec_context_by_oid(&minor, context_, GSS_C_INQ_SSPI_SESSION_KEY, &found);
    if (!found || found->count == 0) fail("the acceptor has no session key");
    const auto *begin = static_cast<const std::uint8_t *>(found->elements[0].value);
    const Bytes key(begin, begin + found->elements[0].length);
    gss_release_buffer_set(&minor, &found);
    return key;
  }

  /// The answer to a token; empty where there is none. An error token is an answer too: `failed()` tells.
  Bytes accept(ByteView token) {
    gss_buffer_desc in{token.size(), const_cast<std::uint8_t *>(token.data())};
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    gss_name_t source = GSS_C_NO_NAME;
    OM_uint32 minor = 0;
    gss_channel_bindings_struct bindings{};
    bindings.application_data = {channel_.size(), channel_.data()};
    const OM_uint32 major = gss_accept_sec_context(&minor, &context_, credential_, &in,
                                                   channel_.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
                                                   &source, nullptr, &out, &flags_, nullptr, nullptr);
    failed_ = GSS_ERROR(major) != 0;
    complete_ = major == GSS_S_COMPLETE;
    if (source) {
      gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
      gss_display_name(&minor, source, &text, nullptr);
      client_.assign(static_cast<const char *>(text.value), text.length);
      gss_release_buffer(&minor, &text);
      gss_release_name(&minor, &source);
    }
    const auto *begin = static_cast<const std::uint8_t *>(out.value);
    const Bytes answer = begin ? Bytes(begin, begin + out.length) : Bytes();
    gss_release_buffer(&minor, &out);
    return answer;
  }

  bool complete() const { return complete_; }
  bool failed() const { return failed_; }
  OM_uint32 flags() const { return flags_; }
  const std::string &client() const { return client_; }

private:
  gss_cred_id_t credential_ = GSS_C_NO_CREDENTIAL;
  gss_ctx_id_t context_ = GSS_C_NO_CONTEXT;
  OM_uint32 flags_ = 0;
  bool complete_ = false;
  bool failed_ = false;
  std::string client_, channel_;
};

} // namespace auth_test

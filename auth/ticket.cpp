#include "auth/ticket.hpp"

#include "auth/handles.hpp"

#include <string.h>

namespace auth {

namespace {

void wipe(Bytes &bytes) {
  if (!bytes.empty()) explicit_bzero(bytes.data(), bytes.size());
  bytes.clear();
}

/// Marshalled credentials in libkrb5's own memory: wiped before they are given back.
class Marshalled {
public:
  explicit Marshalled(krb5_context context) : data_(context) {}
  ~Marshalled() {
    if (data_.get()) explicit_bzero(data_->data, data_->length);
  }
  krb5_data **out() { return data_.out(); }
  Bytes bytes() const {
    const auto *begin = reinterpret_cast<const std::uint8_t *>(data_->data);
    return {begin, begin + data_->length};
  }

private:
  Owned<krb5_data *, krb5_free_data> data_;
};

} // namespace

Ticket::~Ticket() { wipe(credentials); }

Ticket &Ticket::operator=(Ticket &&other) noexcept {
  if (this == &other) return *this;
  client = std::move(other.client);
  server = std::move(other.server);
  realm = std::move(other.realm);
  etype = other.etype;
  kvno = other.kvno;
  starts = other.starts;
  expires = other.expires;
  wipe(credentials);
  credentials = std::move(other.credentials);
  return *this;
}

std::string etype_name(int etype) {
  char name[64];
  if (krb5_enctype_to_name(etype, FALSE, name, sizeof name) != 0) return std::to_string(etype);
  return name;
}

Result<TicketPtr> make_ticket(krb5_context context, krb5_creds &credentials) {
  Marshalled marshalled(context);
  if (const auto code = krb5_marshal_credentials(context, &credentials, marshalled.out()))
    return std::unexpected(library_error(context, code, "ticket: "));
  Owned<krb5_ticket *, krb5_free_ticket> decoded(context);
  if (const auto code = krb5_decode_ticket(&credentials.ticket, decoded.out()))
    return std::unexpected(library_error(context, code, "ticket: "));

  const auto ticket = std::make_shared<Ticket>();
  ticket->client = unparse(context, credentials.client);
  ticket->server = unparse(context, credentials.server);
  ticket->realm.assign(decoded->server->realm.data, decoded->server->realm.length);
  ticket->etype = decoded->enc_part.enctype;
  ticket->kvno = static_cast<int>(decoded->enc_part.kvno);
  // A start time is sent only where it differs from the time of authentication (RFC 4120 5.3).
  ticket->starts =
      to_time(credentials.times.starttime ? credentials.times.starttime : credentials.times.authtime);
  ticket->expires = to_time(credentials.times.endtime);
  ticket->credentials = marshalled.bytes();
  return ticket;
}

krb5_error_code unmarshal(krb5_context context, const Ticket &ticket, CredentialsPtr &credentials) {
  krb5_data data{};
  data.length = static_cast<unsigned>(ticket.credentials.size());
  // libkrb5 reads through this pointer only; its type knows no const.
  data.data = const_cast<char *>(reinterpret_cast<const char *>(ticket.credentials.data()));
  return krb5_unmarshal_credentials(context, &data, credentials.out());
}

namespace {

/// The whole content of a cache that is new.
krb5_error_code fill(krb5_context context, const Ticket &ticket, krb5_ccache ccache) {
  CredentialsPtr credentials(context);
  if (const auto code = unmarshal(context, ticket, credentials)) return code;
  if (const auto code = krb5_cc_initialize(context, ccache, credentials->client)) return code;
  return krb5_cc_store_cred(context, ccache, credentials.get());
}

} // namespace

krb5_error_code make_private_ccache(krb5_context context, const Ticket &ticket, PrivateCcache &ccache) {
  if (const auto code = krb5_cc_new_unique(context, "MEMORY", nullptr, ccache.out())) return code;
  return fill(context, ticket, ccache.get());
}

Result<void> save_ccache(const Ticket &ticket, const std::string &path) {
  auto context = make_bare_context();
  if (!context) return std::unexpected(std::move(context.error()));
  OpenCcache ccache(context->get());
  auto code = krb5_cc_resolve(context->get(), ("FILE:" + path).c_str(), ccache.out());
  if (!code) code = fill(context->get(), ticket, ccache.get());
  if (code) return std::unexpected(library_error(context->get(), code, path + ": "));
  return {};
}

} // namespace auth

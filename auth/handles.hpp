// Owners for what libkrb5 hands out, and its codes turned into Errors. Internal to auth/: no
// public header includes it.
#pragma once

#include "auth/error.hpp"
#include "auth/kerberos_config.hpp"
#include "auth/ticket.hpp"

#include <krb5.h>

#include <string>
#include <utility>

namespace auth {

/// Owns one object that libkrb5 made and `Release` gives back: `Owned<krb5_principal, krb5_free_principal>`.
/// The context must outlive it.
template <class T, auto Release> class Owned {
public:
  explicit Owned(krb5_context context) : context_(context) {}
  Owned(const Owned &) = delete;
  Owned &operator=(const Owned &) = delete;
  ~Owned() { reset(); }

  T get() const { return object_; }
  T operator->() const { return object_; }
  /// For libkrb5's out-parameters.
  T *out() {
    reset();
    return &object_;
  }
  T release() { return std::exchange(object_, nullptr); }
  void reset() {
    if (object_) Release(context_, release());
  }

private:
  krb5_context context_;
  T object_ = nullptr;
};

using Principal = Owned<krb5_principal, krb5_free_principal>;
using Name = Owned<char *, krb5_free_unparsed_name>;
using Keytab = Owned<krb5_keytab, krb5_kt_close>;
using OpenCcache = Owned<krb5_ccache, krb5_cc_close>;      ///< somebody's: closed
using PrivateCcache = Owned<krb5_ccache, krb5_cc_destroy>; ///< ours: destroyed
using CredentialsPtr = Owned<krb5_creds *, krb5_free_creds>;

/// Credentials as a value that libkrb5 fills in.
class CredentialsValue {
public:
  explicit CredentialsValue(krb5_context context) : context_(context) {}
  CredentialsValue(const CredentialsValue &) = delete;
  CredentialsValue &operator=(const CredentialsValue &) = delete;
  ~CredentialsValue() { reset(); }

  krb5_creds &get() { return value_; }
  krb5_creds *out() {
    reset();
    return &value_;
  }

private:
  void reset() {
    krb5_free_cred_contents(context_, &value_);
    value_ = {};
  }
  krb5_context context_;
  krb5_creds value_{};
};

/// libkrb5's timestamps are 32 bits, unsigned since the year 2038 came into sight.
inline Time to_time(krb5_timestamp stamp) {
  return std::chrono::system_clock::from_time_t(static_cast<std::uint32_t>(stamp));
}
/// "2026-07-30T12:00:00Z"
std::string utc_text(Time time);

/// RFC 4120 number of a libkrb5 code, or the code itself where it has none.
std::int64_t rfc_number(krb5_error_code code);
/// Kind of a libkrb5 code met in an exchange with a KDC or on our own side.
Kind kind_of_library_error(krb5_error_code code);
/// libkrb5's sentence for a code.
std::string library_text(krb5_context context, krb5_error_code code);
/// All of it; `what` is put in front of the sentence: "keytab /etc/x: ".
Error library_error(krb5_context context, krb5_error_code code, std::string_view what = {});

/// "alice@CORP.TEST"
std::string unparse(krb5_context context, krb5_const_principal principal);

/// A ticket as a value, from credentials that an exchange or a ccache gave. Wipes what it copies through.
Result<TicketPtr> make_ticket(krb5_context context, krb5_creds &credentials);
/// The way back. The code is libkrb5's.
krb5_error_code unmarshal(krb5_context context, const Ticket &ticket, CredentialsPtr &credentials);
/// A MEMORY ccache of a fresh name that holds `ticket` and nothing else.
krb5_error_code make_private_ccache(krb5_context context, const Ticket &ticket, PrivateCcache &ccache);

/// `clockskew` of a profile, 300 s where it says nothing usable.
std::chrono::seconds configured_clock_skew(const std::string &config_path);

/// A context that reads no configuration at all: for work on values that are already in memory.
Result<Context> make_bare_context();

} // namespace auth

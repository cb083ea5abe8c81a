// Shared by the unit tests of auth/: a folder of their own, DER by hand, tickets that no KDC has seen.
#pragma once

#include "auth/handles.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <initializer_list>
#include <malloc.h>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#define SQLSHIM_TEST_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SQLSHIM_TEST_ASAN
#elif __has_feature(thread_sanitizer)
#define SQLSHIM_TEST_TSAN
#endif
#endif
#if defined(SQLSHIM_TEST_ASAN) || defined(SQLSHIM_TEST_TSAN)
#include <sanitizer/allocator_interface.h>
#endif
#ifdef SQLSHIM_TEST_ASAN
#include <sanitizer/lsan_interface.h>
#endif

namespace auth_test {

using namespace auth;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class Folder {
public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "sqlshim-auth-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  Folder(const Folder &) = delete;
  Folder &operator=(const Folder &) = delete;
  ~Folder() { fs::remove_all(path_); }

  std::string file(const std::string &name) const { return path_ / name; }
  std::string write(const std::string &name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

private:
  fs::path path_;
};

/// Of a thing that must have worked: it, or an exception with the reason.
template <class T> T value(Result<T> result) {
  if (!result)
    throw std::runtime_error(std::string(to_string(result.error().kind)) + ": " + result.error().text);
  return std::move(*result);
}
inline void check(krb5_error_code code, const char *what) {
  if (code) throw std::runtime_error(std::string(what) + ": " + library_text(nullptr, code));
}

inline Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }
inline Bytes join(std::initializer_list<Bytes> parts) {
  Bytes result;
  for (const Bytes &part : parts)
    result.insert(result.end(), part.begin(), part.end());
  return result;
}
/// One DER element with a length of one or three bytes.
inline Bytes der_of(std::uint8_t tag, std::initializer_list<Bytes> parts) {
  const Bytes contents = join(parts);
  Bytes result{tag};
  if (contents.size() >= 0x80)
    result.insert(result.end(), {0x82, static_cast<std::uint8_t>(contents.size() >> 8)});
  result.push_back(static_cast<std::uint8_t>(contents.size()));
  result.insert(result.end(), contents.begin(), contents.end());
  return result;
}
inline Bytes der_integer(std::uint8_t value) { return {0x02, 0x01, value}; }

const Bytes krb5_oid{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02};

/// The framing of RFC 4121 4.1 around a Kerberos message: 3 is KRB-ERROR, 2 AP-REP.
inline Bytes framed(std::uint8_t id, const Bytes &message) {
  return der_of(0x60, {krb5_oid, {id, 0x00}, message});
}
/// NegTokenResp (RFC 4178 4.2.2) with negState reject, the mechanism, and this response token.
inline Bytes spnego_response(const Bytes &token) {
  return der_of(0xa1, {der_of(0x30, {der_of(0xa0, {{0x0a, 0x01, 0x02}}), der_of(0xa1, {krb5_oid}),
                                     der_of(0xa2, {der_of(0x04, {token})})})});
}

constexpr std::int64_t error_seconds = 1785412800; // 2026-07-30T12:00:00Z
constexpr int error_micros = 250000;

/// A KRB-ERROR as libkrb5 makes one.
inline Bytes krb_error(int code, const std::string &said = {}, bool with_client = false) {
  const Context context = value(make_bare_context());
  Principal server(context.get()), client(context.get());
  check(krb5_parse_name(context.get(), "MSSQLSvc/sql1.corp.test:1433@CORP.TEST", server.out()), "parse_name");
  check(krb5_parse_name(context.get(), "alice@CORP.TEST", client.out()), "parse_name");
  krb5_error error{};
  error.error = static_cast<krb5_ui_4>(code);
  error.server = server.get();
  error.client = with_client ? client.get() : nullptr;
  error.stime = static_cast<krb5_timestamp>(error_seconds);
  error.susec = error_micros;
  error.text.data = const_cast<char *>(said.data());
  error.text.length = static_cast<unsigned>(said.size());
  krb5_data made{};
  check(krb5_mk_error(context.get(), &error, &made), "mk_error");
  const Bytes result(made.data, made.data + made.length);
  krb5_free_data_contents(context.get(), &made);
  return result;
}

struct FakeTicket {
  std::string client = "alice@CORP.TEST";
  std::string server = "krbtgt/CORP.TEST@CORP.TEST";
  Time starts = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  std::chrono::seconds life = 10h;
  std::uint8_t kvno = 3;
};

/// Calls `use(context, credentials)` with credentials that libkrb5 takes for real: only a KDC
/// or the service could tell.
template <class Use> void with_credentials(const FakeTicket &fake, Use use) {
  const Context context = value(make_bare_context());
  Principal client(context.get()), server(context.get());
  check(krb5_parse_name(context.get(), fake.client.c_str(), client.out()), "parse_name");
  check(krb5_parse_name(context.get(), fake.server.c_str(), server.out()), "parse_name");
  Bytes names;
  for (int i = 0; i < server->length; ++i)
    names = join({names, der_of(0x1b, {bytes({server->data[i].data, server->data[i].length})})});
  // Ticket (RFC 4120 5.3)
  Bytes ticket = der_of(
      0x61,
      {der_of(0x30, {der_of(0xa0, {der_integer(5)}),
                     der_of(0xa1, {der_of(0x1b, {bytes({server->realm.data, server->realm.length})})}),
                     der_of(0xa2, {der_of(0x30, {der_of(0xa0, {der_integer(2)}),
                                                 der_of(0xa1, {der_of(0x30, {names})})})}),
                     der_of(0xa3, {der_of(0x30, {der_of(0xa0, {der_integer(ENCTYPE_AES256_CTS_HMAC_SHA1_96)}),
                                                 der_of(0xa1, {der_integer(fake.kvno)}),
                                                 der_of(0xa2, {der_of(0x04, {Bytes(64, 0x5a)})})})})})});
  krb5_creds credentials{};
  credentials.client = client.get();
  credentials.server = server.get();
  credentials.ticket.data = reinterpret_cast<char *>(ticket.data());
  credentials.ticket.length = static_cast<unsigned>(ticket.size());
  const auto stamp = [](Time time) {
    return static_cast<krb5_timestamp>(std::chrono::system_clock::to_time_t(time));
  };
  credentials.times.authtime = stamp(fake.starts);
  credentials.times.starttime = stamp(fake.starts);
  credentials.times.endtime = stamp(fake.starts + fake.life);
  check(krb5_c_make_random_key(context.get(), ENCTYPE_AES256_CTS_HMAC_SHA1_96, &credentials.keyblock),
        "make_random_key");
  use(context.get(), credentials);
  krb5_free_keyblock_contents(context.get(), &credentials.keyblock);
}

inline TicketPtr fake_ticket(const FakeTicket &fake = {}) {
  TicketPtr ticket;
  with_credentials(fake, [&](krb5_context context, krb5_creds &credentials) {
    ticket = value(make_ticket(context, credentials));
  });
  return ticket;
}

/// A ccache of `owner` with these tickets: a file, or a name with its type ("MEMORY:x").
inline void write_ccache(const std::string &path, const std::string &owner,
                         const std::vector<FakeTicket> &tickets) {
  const Context context = value(make_bare_context());
  Principal principal(context.get());
  OpenCcache ccache(context.get());
  check(krb5_parse_name(context.get(), owner.c_str(), principal.out()), "parse_name");
  check(krb5_cc_resolve(context.get(), (path.starts_with('/') ? "FILE:" + path : path).c_str(), ccache.out()),
        "cc_resolve");
  check(krb5_cc_initialize(context.get(), ccache.get(), principal.get()), "cc_initialize");
  for (const FakeTicket &fake : tickets)
    with_credentials(fake, [&](krb5_context, krb5_creds &credentials) {
      check(krb5_cc_store_cred(context.get(), ccache.get(), &credentials), "cc_store_cred");
    });
}

struct FakeKey {
  std::string principal;
  krb5_kvno kvno = 1;
  krb5_enctype etype = ENCTYPE_AES256_CTS_HMAC_SHA1_96;
};
inline void write_keytab(const std::string &path, const std::vector<FakeKey> &keys) {
  const Context context = value(make_bare_context());
  Keytab keytab(context.get());
  check(krb5_kt_resolve(context.get(), ("FILE:" + path).c_str(), keytab.out()), "kt_resolve");
  for (const FakeKey &key : keys) {
    Principal principal(context.get());
    check(krb5_parse_name(context.get(), key.principal.c_str(), principal.out()), "parse_name");
    krb5_keytab_entry entry{};
    entry.principal = principal.get();
    entry.vno = key.kvno;
    check(krb5_c_make_random_key(context.get(), key.etype, &entry.key), "make_random_key");
    check(krb5_kt_add_entry(context.get(), keytab.get(), &entry), "kt_add_entry");
    krb5_free_keyblock_contents(context.get(), &entry.key);
  }
}

/// Heap in use. libkrb5 keeps MEMORY ccaches and keytabs in tables of its own, where no leak
/// detector sees what was forgotten.
#if defined(SQLSHIM_TEST_ASAN) || defined(SQLSHIM_TEST_TSAN)
inline std::size_t allocated_bytes() { return __sanitizer_get_current_allocated_bytes(); }
constexpr double nothing = 1;
#else
inline std::size_t allocated_bytes() { return mallinfo2().uordblks; }
constexpr double nothing =
    300; // malloc counts the free blocks that it keeps at hand; a forgotten ccache is larger
#endif

/// While one lives, no leak is reported: for places where libkrb5 or gss-ntlmssp itself forgets something.
struct LeaksOfLibraries {
#ifdef SQLSHIM_TEST_ASAN
  LeaksOfLibraries() { __lsan_disable(); }
  ~LeaksOfLibraries() { __lsan_enable(); }
#else
  LeaksOfLibraries() {}
#endif
  LeaksOfLibraries(const LeaksOfLibraries &) = delete;
};

/// What one call of `use` leaves allocated, on average.
template <class Use> double left_behind(Use use) {
  constexpr int rounds = 100;
  for (int i = 0; i < 5; ++i)
    use(); // tables and caches of the libraries
  const auto before = static_cast<double>(allocated_bytes());
  for (int i = 0; i < rounds; ++i)
    use();
  return (static_cast<double>(allocated_bytes()) - before) / rounds;
}

constexpr auto plain_config = "[libdefaults]\n default_realm = CORP.TEST\n"
                              "[realms]\n CORP.TEST = {\n  kdc = 127.0.0.1:18088\n }\n"
                              "[domain_realm]\n .corp.test = CORP.TEST\n";

} // namespace auth_test

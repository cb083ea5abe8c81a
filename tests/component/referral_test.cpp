// Referrals of SPNs with a port. Active Directory makes them and MIT's KDC never does, so a KDC of a
// few lines answers here: it takes real requests apart and encrypts real replies (RFC 4120 5.4), with
// the keys that it has because the test holds the tickets. (names_test.cpp has a portless SPN,
// referred by MIT's own KDC.)
#include "auth/der.hpp"
#include "tests/component/auth_support.hpp"

#include <gmock/gmock.h>

namespace auth_test {
namespace {

using namespace testing;

constexpr auto spn = "MSSQLSvc/sql9.partner.test:1433@CORP.TEST";

// ---- DER, as far as these messages need it ----

Bytes tlv(std::uint8_t tag, const Bytes &contents) {
  Bytes out{tag};
  if (contents.size() < 0x80) {
    out.push_back(static_cast<std::uint8_t>(contents.size()));
  } else {
    out.push_back(0x82);
    out.push_back(static_cast<std::uint8_t>(contents.size() >> 8));
    out.push_back(static_cast<std::uint8_t>(contents.size() & 0xff));
  }
  out.insert(out.end(), contents.begin(), contents.end());
  return out;
}
Bytes sequence(std::initializer_list<Bytes> elements) {
  Bytes all;
  for (const auto &element : elements)
    all.insert(all.end(), element.begin(), element.end());
  return tlv(der::sequence, all);
}
/// [number] EXPLICIT
Bytes field(int number, const Bytes &element) {
  return tlv(static_cast<std::uint8_t>(der::context_0 + number), element);
}
Bytes integer(std::uint32_t value) {
  Bytes out{0};
  for (const int shift : {24, 16, 8, 0})
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  while (out.size() > 1 && out[0] == 0 && out[1] < 0x80)
    out.erase(out.begin());
  return tlv(der::integer, out);
}
Bytes text(std::string_view value, std::uint8_t tag = der::general_string) {
  return tlv(tag, Bytes(value.begin(), value.end()));
}
Bytes time_in(std::chrono::seconds from_now) {
  const std::time_t at = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() + from_now);
  std::array<char, 32> out{};
  std::tm parts{};
  strftime(out.data(), out.size(), "%Y%m%d%H%M%SZ", gmtime_r(&at, &parts));
  return text(out.data(), der::generalized_time);
}
/// Contents of the element with this tag in a SEQUENCE's contents.
ByteView find(ByteView contents, std::uint8_t tag) {
  for (der::Reader reader(contents); !reader.empty();) {
    const auto here = reader.peek();
    const auto element = reader.take(here);
    if (!element) break;
    if (here == tag) return *element;
  }
  fail("the request lacks an element");
}
ByteView find(ByteView contents, std::initializer_list<std::uint8_t> path) {
  for (const auto tag : path)
    contents = find(contents, tag);
  return contents;
}
constexpr std::uint8_t context_tag(int number) { return static_cast<std::uint8_t>(der::context_0 + number); }

// ---- Keys ----

struct Key {
  krb5_enctype etype = ENCTYPE_AES256_CTS_HMAC_SHA1_96;
  Bytes bytes = Bytes(32, 7);

  krb5_keyblock block() const {
    return {.magic = KV5M_KEYBLOCK,
            .enctype = etype,
            .length = static_cast<unsigned>(bytes.size()),
            .contents = const_cast<krb5_octet *>(bytes.data())};
  }
};
krb5_data data_of(const Bytes &bytes) {
  return {.magic = KV5M_DATA,
          .length = static_cast<unsigned>(bytes.size()),
          .data = const_cast<char *>(reinterpret_cast<const char *>(bytes.data()))};
}

/// EncryptedData.
Bytes encrypted(const Key &key, krb5_keyusage usage, const Bytes &plain) {
  const auto block = key.block();
  const auto in = data_of(plain);
  std::size_t size = 0;
  check(krb5_c_encrypt_length(nullptr, key.etype, plain.size(), &size), "encrypt_length");
  Bytes cipher(size);
  krb5_enc_data out{.magic = KV5M_ENC_DATA, .enctype = 0, .kvno = 0, .ciphertext = data_of(cipher)};
  check(krb5_c_encrypt(nullptr, &block, usage, nullptr, &in, &out), "encrypt");
  return sequence(
      {field(0, integer(static_cast<std::uint32_t>(key.etype))), field(2, tlv(der::octet_string, cipher))});
}
/// By whichever of the keys fits: libkrb5 goes back to its first ticket when a referral leads nowhere.
Bytes decrypted(const std::vector<Key> &keys, krb5_keyusage usage, ByteView cipher) {
  for (const auto &key : keys) {
    const auto block = key.block();
    const Bytes copy(cipher.begin(), cipher.end());
    const krb5_enc_data in{
        .magic = KV5M_ENC_DATA, .enctype = key.etype, .kvno = 0, .ciphertext = data_of(copy)};
    Bytes plain(copy.size());
    auto out = data_of(plain);
    if (krb5_c_decrypt(nullptr, &block, usage, nullptr, &in, &out) != 0) continue;
    plain.resize(out.length);
    return plain;
  }
  fail("no key opens the request");
}

// ---- The KDC ----

Bytes name_of(std::string_view principal) {
  const auto slash = principal.find('/');
  return sequence(
      {field(0, integer(KRB5_NT_SRV_INST)),
       field(1, sequence({text(principal.substr(0, slash)), text(principal.substr(slash + 1))}))});
}

/// A TGS-REP to `request`, which was made with a ticket of one of `keys`: the ticket for `server` in `realm`,
/// whose session key is `session`.
Bytes reply_to(ByteView request, const std::vector<Key> &keys, const std::string &server,
               const std::string &realm, const Key &session) {
  constexpr std::uint8_t tgs_req = 0x6c, ap_req = 0x6e, authenticator = 0x62;
  const auto message = find(request, {tgs_req, der::sequence});
  const auto nonce =
      der::to_integer(find(message, {context_tag(4), der::sequence, context_tag(7), der::integer}));
  // PA-TGS-REQ comes first (RFC 4120 5.4.1); its authenticator holds the key for the reply.
  const auto proof =
      find(message, {context_tag(3), der::sequence, der::sequence, context_tag(2), der::octet_string, ap_req,
                     der::sequence, context_tag(4), der::sequence, context_tag(2), der::octet_string});
  const auto opened = decrypted(keys, KRB5_KEYUSAGE_TGS_REQ_AUTH, proof);
  const auto subkey = find(opened, {authenticator, der::sequence, context_tag(6), der::sequence});
  const auto subkey_bytes = find(subkey, {context_tag(1), der::octet_string});
  const Key reply_key{*der::to_integer(find(subkey, {context_tag(0), der::integer})),
                      Bytes(subkey_bytes.begin(), subkey_bytes.end())};

  const auto part =
      tlv(0x7a, // EncTGSRepPart
          sequence({field(0, sequence({field(0, integer(static_cast<std::uint32_t>(session.etype))),
                                       field(1, tlv(der::octet_string, session.bytes))})),
                    field(1, sequence({sequence({field(0, integer(0)), field(1, time_in(0s))})})),
                    field(2, integer(static_cast<std::uint32_t>(nonce.value()))),
                    field(4, tlv(0x03, {0, 0x40, 0x80, 0, 0})), field(5, time_in(0s)),
                    field(7, time_in(3600s)), field(9, text(realm)), field(10, name_of(server))}));
  const auto issued = tlv(0x61, // Ticket: what it holds is for the server alone
                          sequence({field(0, integer(5)), field(1, text(realm)), field(2, name_of(server)),
                                    field(3, encrypted(Key{}, KRB5_KEYUSAGE_KDC_REP_TICKET, Bytes(16, 1)))}));
  const auto client =
      sequence({field(0, integer(KRB5_NT_PRINCIPAL)), field(1, sequence({text("svc-reports")}))});
  return tlv(0x6d, // TGS-REP
             sequence({field(0, integer(5)), field(1, integer(13)), field(3, text("CORP.TEST")),
                       field(4, client), field(5, issued),
                       field(6, encrypted(reply_key, KRB5_KEYUSAGE_TGS_REP_ENCPART_SUBKEY, part))}));
}

/// What each question gets, in turn: a ticket for `server` in `realm`. The last line answers all that follow.
struct Line {
  std::string server, realm;
};

class Referral : public testing::Test {
protected:
  Driven ask(const std::vector<Line> &script) {
    const auto context = value(make_bare_context());
    CredentialsPtr credentials(context.get());
    check(unmarshal(context.get(), *tgt_, credentials), "unmarshal");
    const auto &block = credentials->keyblock;
    std::vector<Key> keys{{block.enctype, Bytes(block.contents, block.contents + block.length)}};

    const auto exchange = request_service_ticket(tgt_, spn, realm_.krb5_conf(), {});
    Driven driven;
    for (std::size_t i = 0;; ++i) {
      auto action = exchange->next();
      if (auto *ticket = std::get_if<TicketPtr>(&action)) driven.ticket = *ticket;
      if (auto *error = std::get_if<Error>(&action)) driven.error = *error;
      auto *ask = std::get_if<AskKdc>(&action);
      if (!ask) return driven;
      if (driven.asked.size() == 30) fail("the exchange does not end");
      driven.asked.push_back(*ask);
      const auto &line = script[std::min(i, script.size() - 1)];
      const Key session{ENCTYPE_AES256_CTS_HMAC_SHA1_96, Bytes(32, static_cast<std::uint8_t>(i + 1))};
      exchange->reply(reply_to(ask->message, keys, line.server, line.realm, session));
      keys.push_back(session);
    }
  }

  lab::TemporaryFolder folder_;
  lab::Block block_;
  lab::Realm realm_{folder_.path() / "realm", block_};
  TicketPtr tgt_ = [this] {
    realm_.add_principal("svc-reports");
    realm_.ktadd(folder_.path() / "k", "svc-reports");
    const auto identity = value(
        load_identity({"test", Source::keytab, folder_.path() / "k", "svc-reports"}, realm_.krb5_conf()));
    return ticket(get_tgt(identity, realm_));
  }();
};

TEST_F(Referral, AnSpnWithAPortIsFollowedToItsRealm) {
  const auto got =
      ask({{"krbtgt/PARTNER.TEST", "CORP.TEST"}, {"MSSQLSvc/sql9.partner.test:1433", "PARTNER.TEST"}});
  ASSERT_TRUE(got.ticket) << got.error->text;
  EXPECT_EQ(got.ticket->server, spn) << "as it was asked for";
  EXPECT_EQ(got.ticket->realm, "PARTNER.TEST") << "whose KDC gave it";
  ASSERT_EQ(got.asked.size(), 2u);
  EXPECT_EQ(got.asked[0].realm, "CORP.TEST");
  EXPECT_EQ(got.asked[1].realm, "PARTNER.TEST");
}

TEST_F(Referral, OverARealmInBetween) {
  const auto got = ask({{"krbtgt/TEST", "CORP.TEST"},
                        {"krbtgt/PARTNER.TEST", "TEST"},
                        {"MSSQLSvc/sql9.partner.test:1433", "PARTNER.TEST"}});
  ASSERT_TRUE(got.ticket) << got.error->text;
  EXPECT_EQ(got.ticket->realm, "PARTNER.TEST");
  EXPECT_EQ(got.asked.size(), 3u);
}

TEST_F(Referral, RoundInALoopItEnds) {
  std::vector<Line> script;
  for (int i = 0; i < 20; ++i)
    script.push_back(i % 2 == 0 ? Line{"krbtgt/PARTNER.TEST", "CORP.TEST"}
                                : Line{"krbtgt/CORP.TEST", "PARTNER.TEST"});
  const auto got = ask(script);
  EXPECT_FALSE(got.ticket);
  ASSERT_TRUE(got.error);
  EXPECT_LE(got.asked.size(), 20u);
}

TEST_F(Referral, AnotherServiceThanTheOneThatWasAskedForIsNone) {
  const auto got =
      ask({{"krbtgt/PARTNER.TEST", "CORP.TEST"}, {"MSSQLSvc/evil.partner.test:1433", "PARTNER.TEST"}});
  EXPECT_FALSE(got.ticket);
  ASSERT_TRUE(got.error);
  EXPECT_NE(got.error->kind, Kind::ok);
}

} // namespace
} // namespace auth_test

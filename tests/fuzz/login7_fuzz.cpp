// LOGIN7, as an application sends it (tds/login7.hpp).
#include "tds/login7.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

bool same(const tds::Secret &a, const tds::Secret &b) { return std::ranges::equal(a.reveal(), b.reveal()); }

/// Login7 has no ==: it holds secrets.
bool same(const tds::Login7 &a, const tds::Login7 &b) {
  return a.tds_version == b.tds_version && a.packet_size == b.packet_size &&
         a.client_prog_ver == b.client_prog_ver && a.client_pid == b.client_pid &&
         a.connection_id == b.connection_id && a.option_flags1 == b.option_flags1 &&
         a.option_flags2 == b.option_flags2 && a.type_flags == b.type_flags &&
         a.option_flags3 == b.option_flags3 && a.client_time_zone == b.client_time_zone &&
         a.client_lcid == b.client_lcid && a.host_name == b.host_name && a.user_name == b.user_name &&
         same(a.password, b.password) && a.app_name == b.app_name && a.server_name == b.server_name &&
         a.clt_int_name == b.clt_int_name && a.language == b.language && a.database == b.database &&
         a.client_id == b.client_id && a.sspi == b.sspi && a.attach_db_file == b.attach_db_file &&
         same(a.change_password, b.change_password) && a.has_extension == b.has_extension &&
         a.features == b.features;
}

} // namespace

FUZZ_TARGET(login7, tds::largest_login7 + 1) {
  // An empty feature is 5 bytes on the wire and 32 in memory, in a list that grows by doubling;
  // texts have their own limits.
  const auto login = fuzz::within(8192 + 24 * input.size(), [&] { return tds::decode_login7(input); });
  if (!login) return;
  fuzz::require(input.size() <= tds::largest_login7, "no LOGIN7 is longer than MS-TDS allows");
  for (const auto *text : {&login->host_name, &login->user_name, &login->app_name, &login->server_name,
                           &login->clt_int_name, &login->language, &login->database})
    fuzz::require(text->size() <= 128, "no name is longer than 128 units");
  fuzz::require(login->password.size() <= 256 && login->change_password.size() <= 256, "nor is a password");
  fuzz::require(login->attach_db_file.size() <= 260, "nor a file name longer than 260");
  fuzz::require(!login->find(tds::FeatureId::fedauth) || login->has_extension,
                "features stand in an extension");

  const auto bytes = tds::encode_login7(*login);
  if (!bytes) { // fields that overlapped need more room of their own, and behind a long token no offset fits
    fuzz::require(bytes.error().field == "Length" || bytes.error().field.starts_with("ib"),
                  "whatever was decoded can be encoded, but for its size");
    return;
  }
  const auto again = tds::decode_login7(*bytes);
  fuzz::require(again && same(*again, *login), "decode, encode, decode gives the same login");
  fuzz::require(same(login->clone(), *login), "a clone is the same");
  const auto twice = tds::encode_login7(*again);
  fuzz::require(twice && *twice == *bytes, "our own layout is stable");
}

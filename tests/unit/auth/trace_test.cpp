#include "auth/trace.hpp"

#include <gtest/gtest.h>

namespace {

using auth::loggable_trace;

TEST(Trace, BytesAreCounted) {
  EXPECT_EQ(
      loggable_trace("[29423] 1795416143.001839: Encrypted timestamp (for 1795416143.1838): plain "
                     "3019A011180F32303236313132333036343232335AA1040202072E, encrypted "
                     "B237ABA2194F733434E2389FD0B93D6A66D96DA20C9093E125BAD478FA9628C1\n"),
      "[29423] 1795416143.001839: Encrypted timestamp (for 1795416143.1838): plain (27 bytes), encrypted (32 bytes)");
  EXPECT_EQ(loggable_trace("SPAKE algorithm result: 0123456789ABCDEF"), "SPAKE algorithm result: (8 bytes)");
  EXPECT_EQ(loggable_trace("0123456789ABCDEF"), "(8 bytes)");
}

TEST(Trace, HashesOfKeysGo) {
  EXPECT_EQ(loggable_trace("AS key obtained for encrypted timestamp: aes256-cts/7277"),
            "AS key obtained for encrypted timestamp: aes256-cts");
  EXPECT_EQ(loggable_trace("Decrypted AS reply; session key is: aes128-sha2/00FF, FAST key rc4-hmac/ABCD"),
            "Decrypted AS reply; session key is: aes128-sha2, FAST key rc4-hmac");
}

TEST(Trace, AllElseStays) {
  for (
      const auto *line :
      {"[1] 1795416143.001826: Getting initial credentials for alice@CORP.TEST",
       "Received error from KDC: -1765328359/Additional pre-authentication required",
       "Retrieving svc@CORP.TEST from FILE:/etc/reports.keytab (vno 0, enctype aes256-cts) with result: 0/Success",
       "Creating authenticator for a@B -> MSSQLSvc/CAFE:1433@CORP.TEST, seqnum 0, subkey (null)",
       "MSSQLSvc/0123456789abcdef.corp.test", "x0123456789ABCDEF", "", "aes256-cts/12345"})
    EXPECT_EQ(loggable_trace(line), line);
}

} // namespace

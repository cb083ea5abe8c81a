// The whole matrix of PRELOGIN's ENCRYPTION, as values.
#include "tools/lab/peer/encryption.hpp"

#include <gtest/gtest.h>

namespace lab {
namespace {

using enum tds::Encryption;

struct Row {
  const char *encrypt;
  std::optional<tds::Encryption> asked;
  tds::Encryption answer;
  std::optional<TlsMode> mode;
};

TEST(Encryption, every_server_answers_every_client) {
  using enum TlsMode;
  const Row rows[] = {
      {"off", tds::Encryption::off, not_sup, clear},
      {"off", on, not_sup, clear},
      {"off", not_sup, not_sup, clear},
      {"off", req, not_sup, clear},
      {"login", tds::Encryption::off, tds::Encryption::off, TlsMode::login},
      {"login", on, tds::Encryption::off, TlsMode::login},
      {"login", not_sup, not_sup, clear},
      {"on", tds::Encryption::off, tds::Encryption::off, TlsMode::login},
      {"on", on, on, full},
      {"on", req, on, full},
      {"on", not_sup, not_sup, clear},
      {"on", std::nullopt, not_sup, clear},
      {"require", tds::Encryption::off, req, full},
      {"require", on, on, full},
      {"require", not_sup, req, std::nullopt},
      {"require", std::nullopt, req, std::nullopt},
      {"strict", not_sup, not_sup, strict},
      {"strict", on, on, strict},
      {"strict", tds::Encryption::off, on, strict}, // never OFF
  };
  for (const auto &row : rows) {
    const auto agreed = agree(row.encrypt, row.asked);
    const auto what =
        std::string(row.encrypt) + " to " + (row.asked ? tds::to_string(*row.asked) : "nothing");
    EXPECT_EQ(agreed.answer, row.answer) << what;
    EXPECT_EQ(agreed.mode, row.mode) << what;
  }
}

TEST(Encryption, a_forced_answer_is_said_and_meant) {
  EXPECT_EQ(agree("off", not_sup, req).answer, req);
  EXPECT_EQ(agree("off", not_sup, req).mode, std::nullopt);
  EXPECT_EQ(agree("on", on, tds::Encryption::off).mode, TlsMode::login);
  EXPECT_EQ(agree("on", on, not_sup).mode, TlsMode::clear);
  EXPECT_EQ(agree("off", tds::Encryption::off, on).mode, TlsMode::full);
}

TEST(Encryption, its_modes_have_names) {
  EXPECT_EQ(to_string(TlsMode::clear), "clear");
  EXPECT_EQ(to_string(TlsMode::login), "login");
  EXPECT_EQ(to_string(TlsMode::full), "full");
  EXPECT_EQ(to_string(TlsMode::strict), "strict");
}

} // namespace
} // namespace lab

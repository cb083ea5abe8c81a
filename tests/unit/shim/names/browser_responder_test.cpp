#include "shim/names/browser_responder.hpp"

#include "shim/names/browser.hpp"
#include "tests/unit/shim/support.hpp"

namespace shim_test {
namespace {

using testing::HasSubstr;

const std::vector<tds::SsrpInstance> instances{{.server = "HERE",
                                                .instance = "INST",
                                                .version = "16.0.0.0",
                                                .clustered = false,
                                                .port = 14330,
                                                .pipe = {}},
                                               {.server = "HERE",
                                                .instance = "DW",
                                                .version = "16.0.0.0",
                                                .clustered = false,
                                                .port = 14331,
                                                .pipe = {}}};

tds::Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }

TEST(BrowserResponder, TellsOneOrAll) {
  EXPECT_EQ(answer_of(*tds::encode_ssrp_question("inst"), instances),
            tds::encode_ssrp_answer({instances[0]}));
  EXPECT_EQ(answer_of(bytes("\4DW"), instances), tds::encode_ssrp_answer({instances[1]}))
      << "without the NUL";
  EXPECT_EQ(answer_of(bytes("\2"), instances), tds::encode_ssrp_answer(instances));
  EXPECT_EQ(answer_of(bytes("\3"), instances), tds::encode_ssrp_answer(instances));
}

TEST(BrowserResponder, SaysNothingToTheRest) {
  for (const std::string_view asked : {"\4OTHER", "\4", "", "\5INST", "\x0f\1INST", "\4IN;ST"})
    EXPECT_TRUE(answer_of(bytes(asked), instances).empty()) << asked;
  EXPECT_TRUE(answer_of(bytes("\4" + std::string(33, 'x')), instances).empty());
  EXPECT_TRUE(answer_of(bytes("\3"), {}).empty());
}

class RunningResponder : public testing::TestWithParam<const char *> {
protected:
  std::expected<BrowserAnswer, BrowserError> ask(const std::string &instance) {
    const auto address = responder_->address();
    const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    return loop_.run(ask_browser({{asio::ip::make_address(GetParam()), port}}, instance, Millis(20'000)));
  }
  Loop loop_;
  std::unique_ptr<BrowserResponder> responder_;
};

TEST_P(RunningResponder, IsUnderstoodByOurOwnClient) {
  auto opened = BrowserResponder::open(loop_.executor(), {GetParam(), 0}, instances);
  ASSERT_TRUE(opened) << opened.error();
  responder_ = std::move(*opened);
  for (const auto &instance : instances) {
    const auto answer = ask(instance.instance);
    ASSERT_TRUE(answer) << answer.error().detail;
    EXPECT_EQ(answer->instance, instance);
  }
  const auto taken = BrowserResponder::open(
      loop_.executor(),
      {GetParam(), static_cast<std::uint16_t>(
                       std::stoi(responder_->address().substr(responder_->address().rfind(':') + 1)))},
      instances);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error(), HasSubstr("Address already in use"));
  responder_.reset();
  loop_.drain();
}

INSTANTIATE_TEST_SUITE_P(Addresses, RunningResponder, testing::Values("127.0.0.1", "::1"),
                         [](const auto &row) {
                           return std::string(row.param).contains(':') ? "IPv6" : "IPv4";
                         });

} // namespace
} // namespace shim_test

// A pipe on a real smbd as a leg, by each mechanism in each dialect, signed and encrypted.
#include "shim/transport/connect.hpp"
#include "shim/transport/smb_connection.hpp"
#include "shim/transport/stream.hpp"

#include "auth/ntlm_initiator.hpp"
#include "tds/packet.hpp"
#include "tds/prelogin.hpp"
#include "tests/component/auth_support.hpp"
#include "tools/lab/lab.hpp"
#include "tools/lab/smb_front.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace shim_test {
namespace {

using namespace shim;
using namespace testing;
using namespace std::chrono_literals;

/// What came of one pipe.
struct Outcome {
  std::string answer; ///< to a PRELOGIN
  std::optional<smb::Failure> failure;
  smb::SessionFacts facts;
};

class SmbPipeOnSmbd : public Test {
protected:
  static void SetUpTestSuite() {
    lab_ = new lab::Lab({.smb = true, .serve = false});
    folder_ = new lab::TemporaryFolder;
  }
  static void TearDownTestSuite() {
    delete lab_;
    delete folder_;
  }

  static std::filesystem::path password_file(const std::string &password) {
    const auto path = folder_->path() / "password";
    lab::write_file(path, password);
    return path;
  }
  static std::unique_ptr<auth::Initiator> initiator(const std::string &mechanism,
                                                    const std::string &password = "alicepw") {
    const auto identity = auth_test::value(auth::load_identity(
        {"alice", auth::Source::password_file, password_file(password), "alice@CORP.TEST"},
        lab_->realm().krb5_conf()));
    if (mechanism == "ntlm")
      return auth_test::value(auth::make_ntlm_initiator(*identity, {.account = "CORP\\alice",
                                                                    .service = "cifs/sql1.corp.test",
                                                                    .wrapping = auth::Wrapping::spnego,
                                                                    .require_mic = false}));
    const auto tgt = auth_test::ticket(auth_test::get_tgt(identity, lab_->realm()));
    return auth_test::value(auth::make_initiator(
        auth_test::ticket(auth_test::get_service_ticket(tgt, "cifs/sql1.corp.test@CORP.TEST", lab_->realm())),
        {}));
  }

  static Task<Outcome> open(smb::SessionRequest request, std::unique_ptr<auth::Initiator> initiator,
                            std::uint16_t port, std::string address, std::string name) {
    Outcome outcome;
    auto connected = co_await connect_first({{asio::ip::make_address(address), port}}, 100ms, 5000ms);
    if (!connected) {
      outcome.failure = smb::Failure{smb::Fault::closed, connected.error().detail};
      co_return outcome;
    }
    auto connection =
        co_await SmbConnection::open(std::move(connected->socket), std::move(request), std::move(initiator));
    if (!connection) {
      outcome.failure = connection.error();
      co_return outcome;
    }
    outcome.facts = (*connection)->facts();
    auto pipe = co_await (*connection)->open_pipe(name);
    if (!pipe) {
      outcome.failure = pipe.error();
      co_return outcome;
    }
    Stream stream(std::move(*pipe));
    tds::Prelogin hello;
    hello.set_version({9, 0, 0, 0});
    hello.set_encryption(tds::Encryption::not_sup);
    co_await stream.write(tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(hello)));
    tds::MessageReader reader(tds::largest_login7);
    std::array<std::uint8_t, 4096> buffer;
    for (;;) {
      auto [error, count] = co_await stream.read_some(asio::buffer(buffer));
      if (error) {
        outcome.answer = error.message();
        co_return outcome;
      }
      reader.feed({buffer.data(), count});
      const auto message = reader.next();
      if (!message || !*message) continue;
      outcome.answer = tds::describe(*tds::decode_prelogin((*message)->payload));
      co_return outcome;
    }
  }
  static Outcome run(smb::SessionRequest request, const std::string &mechanism, std::uint16_t port = 0,
                     const std::string &address = {}, const std::string &name = "sql\\query",
                     const std::string &password = "alicepw") {
    request.host = "sql1.corp.test";
    request.client = {1, 2, 3};
    request.salt = smb::Bytes(32, 9);
    asio::io_context io;
    std::optional<Outcome> outcome;
    asio::co_spawn(
        io.get_executor(),
        [&]() -> Task<> {
          outcome = co_await open(std::move(request), initiator(mechanism, password),
                                  port ? port : lab_->smbd().options().port,
                                  address.empty() ? lab_->smbd().options().address : address, name);
        },
        asio::detached);
    io.run_for(10s);
    return outcome.value_or(Outcome{"no end", {}, {}});
  }
  static lab::SmbdOptions unchanged() {
    return {.keytab = lab_->smbd().options().keytab, .accounts = lab_->smbd().options().accounts};
  }

  static constexpr auto good = "VERSION 16.0.1000, ENCRYPTION not_sup";
  static lab::Lab *lab_;
  static lab::TemporaryFolder *folder_;
};
lab::Lab *SmbPipeOnSmbd::lab_ = nullptr;
lab::TemporaryFolder *SmbPipeOnSmbd::folder_ = nullptr;

TEST_F(SmbPipeOnSmbd, EachDialectByEachMechanismSignedAndEncrypted) {
  for (const auto dialect : smb::all_dialects)
    for (const std::string encryption : {"off", "required"}) {
      if (encryption == "required" && dialect < smb::Dialect::v300) continue;
      auto options = unchanged();
      options.lowest = options.highest = smb::to_string(dialect);
      options.encryption = encryption;
      lab_->smbd().restart(options);
      for (const std::string mechanism : {"kerberos", "ntlm"}) {
        const auto row = fmt::format("{:<6} {:<9} {}", smb::to_string(dialect), mechanism, encryption);
        const auto outcome = run({}, mechanism);
        EXPECT_FALSE(outcome.failure) << row << ": " << outcome.failure->detail;
        EXPECT_EQ(outcome.answer, good) << row;
        EXPECT_EQ(outcome.facts.dialect, dialect) << row;
        EXPECT_EQ(outcome.facts.cipher != smb::Cipher::none, encryption == "required") << row;
        fmt::print("{:<18} {:<12} {:<12} {}\n", row, smb::to_string(outcome.facts.signer),
                   smb::to_string(outcome.facts.cipher), outcome.answer == good ? "works" : "see above");
      }
    }
  lab_->smbd().restart(unchanged());
}

TEST_F(SmbPipeOnSmbd, EachCipherAndEachSignature) {
  auto options = unchanged();
  smb::SessionRequest encrypted;
  encrypted.encrypt = smb::Encrypt::required;
  for (const auto cipher :
       {smb::Cipher::aes128_ccm, smb::Cipher::aes128_gcm, smb::Cipher::aes256_ccm, smb::Cipher::aes256_gcm}) {
    options.encryption = "required";
    options.ciphers = {smb::to_string(cipher)};
    lab_->smbd().restart(options);
    for (const std::string mechanism : {"kerberos", "ntlm"}) {
      const auto outcome = run(encrypted, mechanism);
      EXPECT_EQ(outcome.answer, good)
          << smb::to_string(cipher) << " " << (outcome.failure ? outcome.failure->detail : "");
      EXPECT_EQ(outcome.facts.cipher, cipher);
    }
  }
  options = unchanged();
  for (const auto signer : {smb::Signer::hmac_sha256, smb::Signer::aes_cmac, smb::Signer::aes_gmac}) {
    lab_->smbd().restart(options);
    smb::SessionRequest request;
    request.encrypt = smb::Encrypt::off;
    request.signers = {signer};
    const auto outcome = run(request, "kerberos");
    EXPECT_EQ(outcome.answer, good) << smb::to_string(signer) << " "
                                    << (outcome.failure ? outcome.failure->detail : "");
    EXPECT_EQ(outcome.facts.signer, signer);
  }
}

TEST_F(SmbPipeOnSmbd, RefusesAndIsRefusedByName) {
  lab_->smbd().restart(unchanged());
  EXPECT_EQ(run({}, "ntlm", 0, "", "sql\\query", "wrong").failure->fault, smb::Fault::logon_failure);
  EXPECT_EQ(run({}, "ntlm", 0, "", "no\\such").failure->fault, smb::Fault::pipe_missing);
  EXPECT_EQ(run({}, "ntlm", 1).failure->fault, smb::Fault::closed);
  auto options = unchanged();
  options.pipe_users = {"bob"};
  lab_->smbd().restart(options);
  EXPECT_EQ(run({}, "ntlm").failure->fault, smb::Fault::access_denied);
  lab_->smbd().restart(unchanged());
}

TEST_F(SmbPipeOnSmbd, WhoeverChangesItOnItsWayIsNoticed) {
  lab_->smbd().restart(unchanged());
  using enum lab::SmbMischief;
  const std::vector<std::tuple<lab::SmbMischief, lab::SmbCommand, smb::Fault>> rows{
      {flip_signature, lab::SmbCommand::create, smb::Fault::signing_refused},
      {strip_signature, lab::SmbCommand::create, smb::Fault::signing_refused},
      {flip_payload, lab::SmbCommand::create, smb::Fault::signing_refused},
      {replay, lab::SmbCommand::tree_connect, smb::Fault::signing_refused},
      {truncate, lab::SmbCommand::create, smb::Fault::signing_refused},
      {lie_about_length, lab::SmbCommand::create, smb::Fault::protocol_violation},
      {set_guest, lab::SmbCommand::session_setup, smb::Fault::guest_refused},
      {downgrade_answer, lab::SmbCommand::negotiate, smb::Fault::signing_refused},
  };
  for (const auto &[mischief, command, fault] : rows) {
    const auto address = lab_->block().address(4);
    lab::SmbFront front({.address = address,
                         .smb_address = lab_->smbd().options().address,
                         .smb_port = lab_->smbd().options().port,
                         .mischief = mischief,
                         .command = command,
                         .which = mischief == set_guest ? 2 : 1});
    smb::SessionRequest request;
    request.encrypt = smb::Encrypt::off; // so that the front can read along
    const auto outcome = run(request, "ntlm", front.port(), address);
    const auto row = static_cast<int>(mischief);
    ASSERT_TRUE(outcome.failure) << row << " " << outcome.answer;
    EXPECT_EQ(outcome.failure->fault, fault) << row << ": " << outcome.failure->detail;
  }
}

} // namespace
} // namespace shim_test

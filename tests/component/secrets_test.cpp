// No secret leaves sqlshim but on the wire: working passwords, keys and tokens of real logins are looked for
// in everything that it writes and says.
#include "auth/handles.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/secret_search.hpp"
#include "tests/support/tds_client.hpp"
#include "tools/lab/lab.hpp"

#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <mutex>
#include <nlohmann/json.hpp>
#include <ranges>

namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr std::string_view sql_password = "Lab.Passw0rd";
constexpr std::string_view wrong_password = "Wrong.Canary.1";
constexpr std::string_view new_password = "New.Canary.2";
constexpr std::string_view wrong_file_password = "File.Canary.3";
constexpr std::string_view kerberos_password = "Kerberos.Canary.4";
constexpr std::string_view wrong_kerberos_password = "Kerberos.Canary.5";

tds::Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

// ---- what is secret, read out of the lab's files and the peer's records with libkrb5 ----

void check(krb5_error_code code, const char *what) {
  if (code) throw std::runtime_error(fmt::format("{}: {}", what, auth::library_text(nullptr, code)));
}

tds::Bytes bytes_of(const krb5_keyblock &key) { return {key.contents, key.contents + key.length}; }

void add_keys_of_keytab(test::SecretSearch &search, const fs::path &path) {
  const auto context = auth::make_bare_context().value();
  auth::Keytab keytab(context.get());
  check(krb5_kt_resolve(context.get(), ("FILE:" + path.string()).c_str(), keytab.out()), "keytab");
  krb5_kt_cursor cursor;
  check(krb5_kt_start_seq_get(context.get(), keytab.get(), &cursor), "keytab");
  krb5_keytab_entry entry;
  while (krb5_kt_next_entry(context.get(), keytab.get(), &entry, &cursor) == 0) {
    search.add(fmt::format("{} key, enctype {}", path.filename().string(), entry.key.enctype),
               bytes_of(entry.key));
    krb5_free_keytab_entry_contents(context.get(), &entry);
  }
  krb5_kt_end_seq_get(context.get(), keytab.get(), &cursor);
}

void add_session_keys_of_ccache(test::SecretSearch &search, const fs::path &path) {
  const auto context = auth::make_bare_context().value();
  auth::OpenCcache ccache(context.get());
  check(krb5_cc_resolve(context.get(), ("FILE:" + path.string()).c_str(), ccache.out()), "ccache");
  krb5_cc_cursor cursor;
  check(krb5_cc_start_seq_get(context.get(), ccache.get(), &cursor), "ccache");
  auth::CredentialsValue credentials(context.get());
  while (krb5_cc_next_cred(context.get(), ccache.get(), &cursor, credentials.out()) == 0) {
    const auto &found = credentials.get();
    if (krb5_is_config_principal(context.get(), found.server)) continue;
    search.add("session key in " + path.filename().string(), bytes_of(found.keyblock));
    search.add("ticket in " + path.filename().string(),
               tds::Bytes(found.ticket.data, found.ticket.data + found.ticket.length));
  }
  krb5_cc_end_seq_get(context.get(), ccache.get(), &cursor);
}

/// The tokens that came to the peer in one connection: in LOGIN7 and in SSPI messages.
std::vector<tds::Bytes> tokens_of(const std::string &received) {
  std::vector<tds::Bytes> tokens;
  tds::MessageReader reader(1 << 20);
  reader.feed(bytes_of(received));
  for (auto message = reader.next(); message && *message; message = reader.next()) {
    if ((*message)->type == tds::PacketType::sspi) tokens.push_back((*message)->payload);
    if ((*message)->type == tds::PacketType::login7)
      tokens.push_back(tds::decode_login7((*message)->payload)->sspi);
  }
  std::erase_if(tokens, [](const auto &token) { return token.empty(); });
  return tokens;
}

/// The AP-REQ of a token; empty where there is none. Behind Kerberos' OID and TOK_ID (RFC 4121 4.1) it
/// lasts as long as its DER says.
tds::Bytes ap_req_of(const tds::Bytes &token) {
  constexpr std::array<std::uint8_t, 13> head{0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7,
                                              0x12, 0x01, 0x02, 0x02, 0x01, 0x00};
  const auto found = std::ranges::search(token, head);
  if (found.empty()) return {};
  const auto *der = &*found.end();
  if (der[0] != 0x6E || der[1] != 0x82) throw std::runtime_error("an AP-REQ of an unexpected form");
  return {der, der + 4 + (der[2] << 8 | der[3])};
}

/// What only client and server of one login share: the ticket's session key and the authenticator's subkey.
void add_keys_of_ap_req(test::SecretSearch &search, const tds::Bytes &ap_req, const fs::path &server_keytab) {
  const auto context = auth::make_bare_context().value();
  auth::Keytab keytab(context.get());
  check(krb5_kt_resolve(context.get(), ("FILE:" + server_keytab.string()).c_str(), keytab.out()), "keytab");
  krb5_auth_context exchange = nullptr;
  check(krb5_auth_con_init(context.get(), &exchange), "auth context");
  check(krb5_auth_con_setflags(context.get(), exchange, 0), "no replay cache");
  krb5_data in{};
  in.length = static_cast<unsigned>(ap_req.size());
  in.data = reinterpret_cast<char *>(const_cast<std::uint8_t *>(ap_req.data()));
  krb5_ticket *ticket = nullptr;
  check(krb5_rd_req(context.get(), &exchange, &in, nullptr, keytab.get(), nullptr, &ticket), "AP-REQ");
  search.add("session key of a login", bytes_of(*ticket->enc_part2->session));
  krb5_keyblock *subkey = nullptr;
  check(krb5_auth_con_getrecvsubkey(context.get(), exchange, &subkey), "subkey");
  if (subkey) search.add("subkey of a login", bytes_of(*subkey));
  krb5_free_keyblock(context.get(), subkey);
  krb5_free_ticket(context.get(), ticket);
  krb5_auth_con_free(context.get(), exchange);
}

// ---- the lab ----

struct Route {
  const char *name;
  const char *identity; ///< lines of [[identity]]; null: the client's own password goes on
};
constexpr Route routes[] = {
    {"sql", nullptr},
    {"keytab", "keytab = \"../reports.keytab\"\nprincipal = \"svc-reports@CORP.TEST\""},
    {"password", "password_file = \"../reports.password\"\nprincipal = \"svc-reports@CORP.TEST\""},
    {"ccache", "ccache = \"../reports.ccache\""},
    {"stale", "keytab = \"../stale.keytab\"\nprincipal = \"bob@CORP.TEST\""},
    {"wrong", "password_file = \"../wrong.password\"\nprincipal = \"alice@CORP.TEST\""},
    {"client", "from = \"client\""},
};

/// Everything that KDCs and sqlshim say to each other passes through the test.
struct KdcTraffic {
  std::mutex mutex;
  std::vector<tds::Bytes> messages;
};

class Secrets : public Test {
protected:
  static void SetUpTestSuite() {
    traffic_ = new KdcTraffic();
    lab_ =
        new lab::Lab({.serve = false, .change = [](lab::Plan &plan) {
                        plan.change_kdc_answers = [](tds::ByteView request, tds::Bytes reply) {
                          const std::lock_guard lock(traffic_->mutex);
                          traffic_->messages.emplace_back(request.begin(), request.end());
                          traffic_->messages.push_back(reply);
                          return reply;
                        };
                        plan.spoil_realm = [](lab::Realm &realm) {
                          realm.kadmin("modprinc +requires_preauth alice\nmodprinc +requires_preauth bob\n");
                          realm.ktadd(realm.folder() / "stale.keytab", "bob");
                          realm.change_key("bob");
                          realm.add_principal("carol", std::string(kerberos_password), "+requires_preauth");
                        };
                      }});
    lab_->realm().kinit("svc-reports", lab::service_password, lab_->folder() / "reports.ccache");
    lab::write_file(lab_->folder() / "wrong.password", std::string(wrong_file_password) + "\n");
  }
  static void TearDownTestSuite() {
    delete lab_;
    delete traffic_;
    lab_ = nullptr;
    traffic_ = nullptr;
  }

  /// Logs in in every way, good and bad, and then looks for every secret in everything
  /// that came out of sqlshim.
  void log_in_and_search(const std::string &level);

  /// sqlshim with a folder of its own: what is in there beside the configuration, it wrote.
  void start(const std::string &level) {
    folder_ = lab_->folder() / level;
    fs::create_directory(folder_);
    while (!lab_->peer().record(first_login_).empty())
      ++first_login_;
    {
      const std::lock_guard lock(traffic_->mutex);
      first_message_ = traffic_->messages.size();
    }
    auto toml = fmt::format(
        "[log]\nlevel = \"{}\"\n[dns]\nservers = [\"{}\"]\n[kerberos]\nconfig = \"../krb5.conf\"\n", level,
        lab_->dns().server());
    for (const auto &[name, identity] : routes) {
      toml += fmt::format(
          "[[listener]]\nname = \"{0}\"\naddress = \"127.0.0.1:0\"\n"
          "[[route]]\nname = \"{0}\"\nmatch = {{ listener = \"{0}\" }}\ntarget = \"sql1.corp.test,{1}\"\n"
          "encrypt = \"off\"\n",
          name, lab_->sql_port());
      toml += identity
                  ? fmt::format("identity = \"{0}\"\n[[identity]]\nname = \"{0}\"\n{1}\n", name, identity)
                  : "attempts = [\"tcp+sql\"]\nunprotected = \"accept\"\n";
    }
    lab::write_file(folder_ / "sqlshim.toml", toml);
    serve_.emplace(lab::Command{.argv = {program(), "serve", "--config", folder_ / "sqlshim.toml"},
                                .environment = environment(),
                                .output = folder_ / "serve.output"});
    for (const auto &route : routes) {
      const auto place = serve_->wait_for_line(fmt::format("listening {} ", route.name));
      ports_[route.name] = static_cast<std::uint16_t>(std::stoi(place.substr(place.rfind(':') + 1)));
    }
  }
  static std::string program() { return lab::program_folder() / "sqlshim"; }
  lab::Environment environment() const {
    return {
        {"HOME", folder_}, {"TMPDIR", folder_}, {"XDG_STATE_HOME", folder_}, {"STATE_DIRECTORY", folder_}};
  }

  /// What the client reads; whether it was let in must be `accepted`.
  void log_in(const std::string &route, bool accepted, const test::ClientOptions &options = {}) {
    SCOPED_TRACE(route);
    test::Connection connection("127.0.0.1", ports_.at(route));
    const auto login = test::log_in(connection, options);
    EXPECT_EQ(login.reply.has_value(), accepted) << login.error();
    std::string read = login.error();
    for (const auto &message : login.messages)
      read += tds::to_utf8(message.text) + tds::to_utf8(message.server) + tds::to_utf8(message.procedure);
    if (login.refused) read += login.refused->detail;
    if (login.reply) read += std::string(login.reply->tokens.begin(), login.reply->tokens.end());
    said_.emplace_back("what the client of " + route + " reads", read);
  }
  void run(std::vector<std::string> arguments) {
    const std::string name = fmt::format("sqlshim {}", fmt::join(arguments, " "));
    arguments.insert(arguments.begin(), program());
    said_.emplace_back(name, lab::run({.argv = arguments, .environment = environment()}).output);
  }

  /// All that is secret of what has happened since `start`: of earlier logins this folder can hold nothing.
  test::SecretSearch secrets() const {
    test::SecretSearch search;
    search.add("working password of a client", sql_password);
    search.add("wrong password of a client", wrong_password);
    search.add("new password of a client", new_password);
    search.add("working password of an identity", lab::service_password);
    search.add("wrong password of an identity", wrong_file_password);
    search.add("working password of a client for Kerberos", kerberos_password);
    search.add("wrong password of a client for Kerberos", wrong_kerberos_password);
    search.add("token of a client", std::string_view("canary-in-a-token"));
    for (const auto *keytab : {"reports.keytab", "stale.keytab", "peer.keytab"})
      add_keys_of_keytab(search, lab_->folder() / keytab);
    add_session_keys_of_ccache(search, lab_->folder() / "reports.ccache");
    for (int number = first_login_; !lab_->peer().record(number).empty(); ++number)
      for (const auto &token : tokens_of(lab_->peer().received(number))) {
        search.add("token of a login", token);
        const auto ap_req = ap_req_of(token);
        if (ap_req.empty()) continue;
        add_keys_of_ap_req(search, ap_req, lab_->folder() / "peer.keytab");
      }
    const std::lock_guard lock(traffic_->mutex);
    for (const auto &message : traffic_->messages | std::views::drop(first_message_))
      if (message.size() > 250)
        search.add("message to or from a KDC", message); // below: no proof and no ticket in it
    return search;
  }

  static lab::Lab *lab_;
  static KdcTraffic *traffic_;
  fs::path folder_;
  int first_login_ = 1;           ///< of this test, at the peer
  std::size_t first_message_ = 0; ///< of this test, at the KDC
  std::optional<lab::Process> serve_;
  std::map<std::string, std::uint16_t> ports_;
  std::vector<std::pair<std::string, std::string>> said_; ///< where, what
};
lab::Lab *Secrets::lab_ = nullptr;
KdcTraffic *Secrets::traffic_ = nullptr;

tds::Bytes token_of_a_client(std::string_view mechanism) {
  auto token = bytes_of(mechanism);
  for (const char c : std::string_view("canary-in-a-token"))
    token.push_back(static_cast<std::uint8_t>(c));
  return token;
}
constexpr std::string_view kerberos_token = "\x60\x1C\x06\x09\x2A\x86\x48\x86\xF7\x12\x01\x02\x02";
constexpr std::string_view ntlm_token("NTLMSSP\0", 8);

void Secrets::log_in_and_search(const std::string &level) {
  start(level);
  const test::ClientOptions working{.user = u"sa", .password = u"Lab.Passw0rd"};
  auto with = [&](auto change) {
    auto options = working;
    change(options);
    return options;
  };
  // Logins that succeed, each with a working password or a token of the client.
  log_in("sql", true, working);
  log_in("keytab", true, working);
  log_in("keytab", true, with([](auto &o) { o.sspi = token_of_a_client(kerberos_token); }));
  log_in("keytab", true, with([](auto &o) { o.sspi = token_of_a_client(ntlm_token); }));
  log_in("password", true, working);
  log_in("ccache", true, working);
  log_in("client", true, {.user = u"carol@CORP.TEST", .password = u"Kerberos.Canary.4"});
  // Logins that fail, in every part of sqlshim that touches a secret.
  log_in("sql", false, with([](auto &o) { o.password = u"Wrong.Canary.1"; }));
  log_in("sql", false, with([](auto &o) { o.database = u"absent"; }));
  log_in("sql", true, with([](auto &o) { o.new_password = u"New.Canary.2"; }));
  log_in("keytab", false, with([](auto &o) { o.database = u"absent"; }));
  log_in("keytab", true, with([](auto &o) { o.new_password = u"New.Canary.2"; }));
  log_in("stale", false, working);
  log_in("wrong", false, working);
  log_in("client", false, {.user = u"carol@CORP.TEST", .password = u"Kerberos.Canary.5"});
  log_in("client", false, {.user = u"carol", .password = u"Kerberos.Canary.4"});
  // A login that breaks off behind its password.
  {
    auto login = *tds::encode_login7(test::make_login7(working));
    login.resize(login.size() - 4);
    test::Connection connection("127.0.0.1", ports_.at("sql"));
    connection.send(tds::encode_message(tds::PacketType::login7, login));
    const auto answer = connection.receive_all();
    said_.emplace_back("what the client of a broken LOGIN7 reads", std::string(answer.begin(), answer.end()));
  }

  const auto process = fs::path("/proc") / std::to_string(serve_->pid());
  for (const auto *file : {"cmdline", "environ", "task", "comm"})
    if (fs::is_regular_file(process / file))
      said_.emplace_back(process / file, lab::read_file(process / file));
  std::string children;
  for (const auto &task : fs::directory_iterator(process / "task"))
    children += lab::read_file(task.path() / "children");
  EXPECT_EQ(children, "") << "sqlshim starts no programs, so there are no command lines of theirs to look at";

  const auto config = (folder_ / "sqlshim.toml").string();
  // To explain, two levels are all there are: with libkrb5's own trace, and without.
  if (level == "debug" || level == "info")
    for (const auto &route : routes) {
      run({"explain", "--route", route.name, "--config", config, "--connect"});
      run({"explain", "--route", route.name, "--config", config, "--connect", "--json"});
      run({"explain", "--route", route.name, "--config", config, "--connect", "--control"});
    }
  run({"check", "--show", "--config", config});
  serve_->stop();
  run({"log", folder_ / "decisions.jsonl"});

  int files = 0;
  for (const auto &entry : fs::recursive_directory_iterator(folder_)) {
    said_.emplace_back("the name of a file", entry.path().filename());
    if (!entry.is_regular_file()) continue;
    ++files;
    said_.emplace_back(entry.path(), lab::read_file(entry.path()));
  }
  EXPECT_GE(files, 3) << "configuration, decision log, output";

  const auto search = secrets();
  for (const auto &[where, text] : said_)
    EXPECT_THAT(search.find(text), IsEmpty()) << where;

  // That all this was looked for in earnest: the same search finds each where it must be.
  const auto decisions = lab::read_file(folder_ / "decisions.jsonl");
  EXPECT_GE(test::events_of<shim::LoginAnswered>(test::records_of(decisions)).size(), 8u);
  EXPECT_EQ(test::events_of<shim::Refused>(test::records_of(decisions)).size(), 8u) << decisions;
  if (level == "trace")
    EXPECT_THAT(decisions, AllOf(HasSubstr("\"trace\""), HasSubstr("\"token.exchanged\"")));
  const auto found_in = [&](const std::string &text, const char *what) {
    EXPECT_THAT(search.find(text), Contains(StartsWith(what)));
  };
  found_in(lab::read_file(lab_->folder() / "reports.password"), "working password of an identity: its bytes");
  found_in(lab::read_file(lab_->folder() / "wrong.password"), "wrong password of an identity: its bytes");
  found_in(lab::read_file(lab_->folder() / "reports.keytab"), "reports.keytab key");
  found_in(lab::read_file(lab_->folder() / "reports.ccache"), "session key in reports.ccache");
  std::string wire;
  for (int number = 1; !lab_->peer().record(number).empty(); ++number)
    wire += lab_->peer().received(number);
  found_in(wire, "working password of a client: UTF-16LE, obfuscated");
  found_in(wire, "wrong password of a client: UTF-16LE, obfuscated");
  found_in(wire, "token of a login: its bytes");
  EXPECT_THAT(search.find(wire), Not(Contains(StartsWith("token of a client"))))
      << "it is dropped, never sent on";
  EXPECT_THAT(search.find(wire), Not(Contains(HasSubstr("for Kerberos"))))
      << "it makes a TGT, and goes nowhere";
  found_in(std::string(kerberos_password), "working password of a client for Kerberos: its bytes");
  EXPECT_GE(search.secrets(), 30u);
}

TEST_F(Secrets, AtTrace) { log_in_and_search("trace"); }
TEST_F(Secrets, AtDebug) { log_in_and_search("debug"); }
TEST_F(Secrets, AtInfo) { log_in_and_search("info"); }
TEST_F(Secrets, AtWarn) { log_in_and_search("warn"); }
TEST_F(Secrets, AtError) { log_in_and_search("error"); }

} // namespace

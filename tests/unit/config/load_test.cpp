#include "config/load.hpp"

#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace config;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace fs = std::filesystem;

/// A folder of its own for each test, which is the home too, and none of the variables
/// that the loader looks at.
class Load : public testing::Test {
protected:
  Load() {
    std::string pattern = (fs::temp_directory_path() / "sqlshim-load-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    write("resolv.conf", "nameserver 10.0.0.2\nsearch corp.test\noptions ndots:2\n");
    write("reports.keytab", "");
    ::unsetenv("KRB5_CONFIG");
    ::unsetenv("STATE_DIRECTORY");
    ::unsetenv("XDG_STATE_HOME");
    if (const char *value = std::getenv("HOME")) home = value;
    ::setenv("HOME", folder.c_str(), 1);
  }
  ~Load() override {
    fs::remove_all(folder);
    for (const char *name : {"KRB5_CONFIG", "SQLSHIM_CONFIG", "STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"})
      ::unsetenv(name);
    if (!home.empty()) ::setenv("HOME", home.c_str(), 1);
  }
  fs::path write(const std::string &name, std::string_view text,
                 fs::perms mode = fs::perms::owner_read | fs::perms::owner_write) const {
    std::ofstream(folder / name) << text;
    fs::permissions(folder / name, mode);
    return folder / name;
  }
  Loaded parse(std::string_view text) const {
    return config::parse(text, folder / "f", folder / "resolv.conf");
  }
  /// The problems, without the folder.
  std::vector<std::string> problems(std::string_view text) const {
    std::vector<std::string> texts;
    for (const Problem &problem : parse(text).problems) {
      std::string line = problem.text();
      const std::string prefix = folder.string() + "/";
      for (std::size_t at = line.find(prefix); at != std::string::npos; at = line.find(prefix, at))
        line.erase(at, prefix.size());
      texts.push_back(line);
    }
    return texts;
  }

  fs::path folder;
  std::string home; ///< as it was
};

// A configuration that is right; each test changes one thing. Line numbers count from its first line.
constexpr std::string_view listener = "[[listener]]\n"                           // 1
                                      "name = \"reports\"\n"                     // 2
                                      "address = \"127.0.0.1:14330\"\n";         // 3
constexpr std::string_view identity = "[[identity]]\n"                           // 4
                                      "name = \"svc\"\n"                         // 5
                                      "keytab = \"reports.keytab\"\n"            // 6
                                      "principal = \"svc-reports@CORP.TEST\"\n"; // 7
constexpr std::string_view route = "[[route]]\n"                                 // 8
                                   "name = \"reports\"\n"                        // 9
                                   "target = \"sql1.corp.test\"\n"               // 10
                                   "identity = \"svc\"\n";                       // 11

std::string with(std::string_view more) {
  return std::string(listener) + std::string(identity) + std::string(route) + std::string(more);
}
std::string with_listener(std::string_view keys) {
  return std::string(listener) + std::string(keys) + std::string(identity) + std::string(route);
}
std::string of_whom(std::string_view keys) { // from line 6
  return std::string(listener) + "[[identity]]\nname = \"svc\"\n" + std::string(keys) + std::string(route);
}
std::string with_identity(std::string_view keys) {
  return std::string(listener) + std::string(identity) + std::string(keys) + std::string(route);
}

/// A route that sends the application's own password, with `keys` from line 8 on.
std::string with_password(std::string_view keys) {
  return std::string(listener) + "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nattempts = [\"tcp+sql\"]\n" +
         std::string(keys);
}

/// A route that logs in by NTLM with a password, and more keys of it from line 13 on.
std::string with_ntlm(std::string_view keys) {
  return std::string(listener) +
         "[[identity]]\nname = \"p\"\npassword_file = \"reports.keytab\"\nprincipal = \"p@A.TEST\"\n"
         "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nidentity = \"p\"\nattempts = [\"tcp+ntlm\"]\n" +
         std::string(keys);
}

TEST_F(Load, TheSmallestConfigurationHasTheDefaults) {
  const Loaded loaded = parse(with(""));
  ASSERT_THAT(loaded.problems, IsEmpty()) << loaded.problems[0].text();
  EXPECT_TRUE(loaded.ok());
  const Config &config = loaded.config;
  EXPECT_EQ(config.file, folder / "f");
  EXPECT_EQ(config.log.decisions, folder / "decisions.jsonl");
  EXPECT_EQ(config.log.level, Level::info);
  EXPECT_THAT(config.dns.servers, ElementsAre(Address{"10.0.0.2", 53}));
  EXPECT_THAT(config.dns.search, ElementsAre("corp.test"));
  EXPECT_EQ(config.dns.ndots, 2);
  EXPECT_EQ(config.kerberos.config, "/etc/krb5.conf");
  EXPECT_EQ(config.dns.hosts, "/etc/hosts");
  EXPECT_EQ(config.dns.resolver, Resolver::own);
  EXPECT_EQ(config.kerberos.refusals, 5s);
  EXPECT_EQ(config.limits, (Limits{.handshakes = 64,
                                   .handshakes_per_uid = 16,
                                   .connections = 4096,
                                   .addresses = 64,
                                   .drain = 30s,
                                   .client_login = 10s}));
  EXPECT_THAT(config.domains, IsEmpty());
  EXPECT_EQ(config.aliases, Aliases{});
  EXPECT_EQ(config.state.directory, folder / ".local/state/sqlshim");

  ASSERT_EQ(config.listeners.size(), 1u);
  const Listener &one = config.listeners[0];
  EXPECT_EQ(one.name, "reports");
  EXPECT_EQ(one.address, (Address{"127.0.0.1", 14330}));
  EXPECT_FALSE(one.unix_path);
  ASSERT_EQ(one.callers.size(), 1u);
  EXPECT_TRUE(one.callers[0].self);
  EXPECT_EQ(one.client_auth, ClientAuth::any);
  EXPECT_EQ(one.version, (tds::ServerVersion{16, 0, 0, 0}));
  EXPECT_EQ(one.tls, ListenerTls::optional);
  EXPECT_EQ(one.certificate, "");
  EXPECT_EQ(one.key, "");

  ASSERT_EQ(config.identities.size(), 1u);
  EXPECT_EQ(config.identities[0].kind, IdentityKind::keytab);
  EXPECT_EQ(config.identities[0].source, folder / "reports.keytab");
  EXPECT_EQ(config.identities[0].principal, "svc-reports@CORP.TEST");
  EXPECT_TRUE(config.identities[0].allow.at(0).self);

  ASSERT_EQ(config.routes.size(), 1u);
  const Route &first = config.routes[0];
  EXPECT_EQ(first.target, "sql1.corp.test");
  EXPECT_EQ(first.identity, "svc");
  EXPECT_THAT(first.attempts, ElementsAre(AttemptKind::tcp_kerberos));
  EXPECT_EQ(first.encrypt, Encrypt::require);
  EXPECT_EQ(first.ca_file, "");
  EXPECT_EQ(first.host_name_in_certificate, "");
  EXPECT_FALSE(first.trust_server_certificate);
  EXPECT_EQ(first.tls_min, TlsMin::tls_1_2);
  EXPECT_THAT(first.redirect_within, IsEmpty());
  EXPECT_TRUE(first.verified_tls());
  EXPECT_EQ(first.spn, "");
  EXPECT_EQ(first.mutual_auth, MutualAuth::required);
  EXPECT_EQ(first.unprotected, Unprotected::refuse);
  EXPECT_EQ(first.timeouts.login, 15s);
}

TEST_F(Load, WhatIsNotConfiguredFollowsResolvConf) {
  const struct {
    const char *dns;
    bool servers, search, ndots;
  } rows[] = {{"", true, true, true},
              {"[dns]\nservers = [\"10.0.0.9\"]\n", false, true, true},
              {"[dns]\nsearch = []\n", true, false, false},
              {"[dns]\nndots = 3\n", true, true, false},
              {"[dns]\nservers = [\"10.0.0.9\"]\nsearch = []\n", false, false, false}};
  for (const auto &row : rows) {
    SCOPED_TRACE(row.dns);
    const auto from = parse(with(row.dns)).config.dns.from_resolv_conf;
    EXPECT_EQ(from.file.filename(), "resolv.conf");
    EXPECT_EQ(from.servers, row.servers);
    EXPECT_EQ(from.search, row.search);
    EXPECT_EQ(from.ndots, row.ndots);
  }
}

TEST_F(Load, AnEmptyHostsIsNone) { EXPECT_EQ(parse(with("[dns]\nhosts = \"\"\n")).config.dns.hosts, ""); }

TEST_F(Load, AFolderThatOthersMayWriteIsNoPlaceOfTrust) {
  const fs::path shared = folder / "shared";
  fs::create_directory(shared);
  std::ofstream(shared / "f.toml") << "";
  const auto first = [&] { return load(shared / "f.toml").problems.at(0).what; };
  fs::permissions(shared, fs::perms::all);
  EXPECT_THAT(first(), HasSubstr("shared can be written by everybody on this machine; run chmod go-w "));
  fs::permissions(shared, fs::perms::all | fs::perms::sticky_bit);
  EXPECT_THAT(first(), testing::Not(HasSubstr("can be written")));
  fs::permissions(shared / "f.toml", fs::perms::all);
  EXPECT_THAT(first(), HasSubstr("f.toml can be written by everybody on this machine"));
  fs::create_symlink(shared / "f.toml", folder / "link.toml");
  EXPECT_THAT(load(folder / "link.toml").problems.at(0).what, HasSubstr("cannot be trusted: "));
}

TEST_F(Load, AFifoIsNoConfigurationAndNoLog) {
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(problems(with("[log]\ndecisions = \"fifo\"\n")),
              testing::Contains(HasSubstr("log.decisions: fifo is no regular file")));
  EXPECT_THAT(load(folder / "fifo").problems.at(0).what, HasSubstr("is no regular file"));
}

TEST_F(Load, EveryKeyArrives) {
  for (const char *name : {"krb5.conf", "l.pem", "l.key", "ca.pem"})
    write(name, "");
  const Loaded loaded = parse(
      "[log]\ndecisions = \"-\"\nlevel = \"debug\"\n"
      "[dns]\nservers = [\"127.81.3.2:5353\", \"::1\"]\nsearch = [\"a.test\", \"b.test.\"]\n"
      "hosts = \"krb5.conf\"\nresolver = \"system\"\n"
      "[kerberos]\nconfig = \"krb5.conf\"\nrefusals = \"7s\"\n"
      "[limits]\nhandshakes = 3\nhandshakes_per_uid = 2\nconnections = 5\naddresses = 6\ndrain = \"1s\"\nclient_login = \"4s\"\n"
      "[domains]\ncorp = \"CORP.TEST\"\nLAB-1 = \"LAB.TEST\"\n[state]\ndirectory = \"kept/here\"\n"
      "[aliases]\nWeb = \"db\"\n\"db.\" = \"sql1,1500\"\nfreetds_conf = [\"krb5.conf\", \"/dev/null\"]\n"
      "[[listener]]\nname = \"l\"\nunix = \"run/l.sock\"\nmode = \"0660\"\ncallers = [\"root\", 7, \"@root\", \"8\"]\n"
      "client_auth = \"sql\"\nversion = \"15.0.2000\"\ntls = \"required\"\ncertificate = \"l.pem\"\nkey = \"./l.key\"\n"
      "[[identity]]\nname = \"c\"\nccache = \"FILE:reports.keytab\"\nallow = \"root\"\n"
      "[[identity]]\nname = \"p\"\npassword_file = \"reports.keytab\"\nprincipal = \"p@A.TEST\"\n"
      "[[route]]\nname = \"r\"\ntarget = 'sql1\\INST,1444'\nidentity = \"c\"\nattempts = [\"tcp+kerberos\", "
      "\"tcp+sql\"]\n"
      "encrypt = \"login\"\nca_file = \"ca.pem\"\nhost_name_in_certificate = \"sql1.corp.test.\"\n"
      "trust_server_certificate = true\ntls_min = \"1.0\"\nredirect_within = [\"a.test\", \"b.test.\"]\n"
      "spn = \"MSSQLSvc/x:1444@A.TEST\"\nmutual_auth = \"or-verified-tls\"\nunprotected = "
      "\"accept\"\n"
      "match = { listener = \"l\", server = \"s*\", database = \"d\", user = \"u\", app = \"a?\", caller = [\"@root\"] "
      "}\n"
      "timeouts = { connect = \"1s\", dns = \"200ms\", kdc = \"3s\", login = \"1m\", idle = \"0s\" }\n");
  EXPECT_TRUE(loaded.ok()) << loaded.problems[0].text();
  const Config &config = loaded.config;
  EXPECT_EQ(config.log.decisions, "-");
  EXPECT_EQ(config.log.level, Level::debug);
  EXPECT_THAT(config.dns.servers, ElementsAre(Address{"127.81.3.2", 5353}, Address{"::1", 53}));
  EXPECT_THAT(config.dns.search, ElementsAre("a.test", "b.test"));
  EXPECT_EQ(config.dns.ndots, 1); // resolv.conf's belongs to resolv.conf's search list
  EXPECT_EQ(config.dns.hosts, folder / "krb5.conf");
  EXPECT_EQ(config.dns.resolver, Resolver::system);
  EXPECT_EQ(config.kerberos.config, folder / "krb5.conf");
  EXPECT_EQ(config.kerberos.refusals, 7s);

  EXPECT_EQ(config.limits, (Limits{.handshakes = 3,
                                   .handshakes_per_uid = 2,
                                   .connections = 5,
                                   .addresses = 6,
                                   .drain = 1s,
                                   .client_login = 4s}));
  EXPECT_THAT(config.domains, ElementsAre(std::pair("CORP", "CORP.TEST"), std::pair("LAB-1", "LAB.TEST")));

  EXPECT_THAT(config.aliases.table, ElementsAre(std::pair("db", "sql1,1500"), std::pair("web", "db")));
  EXPECT_THAT(config.aliases.freetds_conf, ElementsAre(folder / "krb5.conf", "/dev/null"));

  const Listener &one = config.listeners.at(0);
  EXPECT_EQ(one.unix_path, folder / "run/l.sock");
  EXPECT_FALSE(one.address);
  EXPECT_EQ(one.mode, mode_t{0660});
  ASSERT_EQ(one.callers.size(), 4u);
  EXPECT_EQ(one.callers[0].uid, uid_t{0});
  EXPECT_EQ(one.callers[1].uid, uid_t{7});
  EXPECT_EQ(one.callers[2].gid, gid_t{0});
  EXPECT_EQ(one.callers[3].uid, uid_t{8});
  EXPECT_EQ(one.client_auth, ClientAuth::sql);
  EXPECT_EQ(one.version, (tds::ServerVersion{15, 0, 2000, 0}));
  EXPECT_EQ(one.tls, ListenerTls::required);
  EXPECT_EQ(one.certificate, folder / "l.pem");
  EXPECT_EQ(one.key, folder / "l.key");
  EXPECT_EQ(config.state.directory, folder / "kept/here");

  EXPECT_EQ(config.identities.at(0).kind, IdentityKind::ccache);
  EXPECT_EQ(config.identities[0].source, "FILE:" + (folder / "reports.keytab").string());
  EXPECT_EQ(config.identities[0].principal, "");
  EXPECT_EQ(config.identities[0].allow.at(0).uid, uid_t{0});
  EXPECT_EQ(config.identities.at(1).kind, IdentityKind::password_file);

  const Route &first = config.routes.at(0);
  EXPECT_EQ(first.target, "sql1\\INST,1444");
  EXPECT_THAT(first.attempts, ElementsAre(AttemptKind::tcp_kerberos, AttemptKind::tcp_sql));
  EXPECT_EQ(first.encrypt, Encrypt::login);
  EXPECT_EQ(first.ca_file, folder / "ca.pem");
  EXPECT_EQ(first.host_name_in_certificate, "sql1.corp.test");
  EXPECT_TRUE(first.trust_server_certificate);
  EXPECT_EQ(first.tls_min, TlsMin::tls_1_0);
  EXPECT_THAT(first.redirect_within, ElementsAre("a.test", "b.test"));
  EXPECT_FALSE(first.verified_tls());
  EXPECT_EQ(first.spn, "MSSQLSvc/x:1444@A.TEST");
  EXPECT_EQ(first.mutual_auth, MutualAuth::or_verified_tls);
  EXPECT_EQ(first.unprotected, Unprotected::accept);
  EXPECT_EQ(first.match.listener, "l");
  EXPECT_EQ(first.match.server, "s*");
  EXPECT_EQ(first.match.database, "d");
  EXPECT_EQ(first.match.user, "u");
  EXPECT_EQ(first.match.app, "a?");
  EXPECT_EQ(first.match.caller.at(0).gid, gid_t{0});
  EXPECT_EQ(first.timeouts.connect, 1s);
  EXPECT_EQ(first.timeouts.dns, 200ms);
  EXPECT_EQ(first.timeouts.kdc, 3s);
  EXPECT_EQ(first.timeouts.login, 1min);
  EXPECT_EQ(first.timeouts.idle, 0s);
}

struct Row {
  const char *name;
  std::string text;
  std::vector<std::string> problems; ///< all of them, in order
};
void PrintTo(const Row &row, std::ostream *out) { *out << row.name; }

class LoadProblems : public Load, public testing::WithParamInterface<Row> {};

TEST_P(LoadProblems, AreNamed) {
  EXPECT_THAT(problems(GetParam().text), testing::ElementsAreArray(GetParam().problems));
  EXPECT_EQ(parse(GetParam().text).ok(),
            std::ranges::all_of(GetParam().problems, [](const std::string &problem) {
              return problem.find(": warning: ") != std::string::npos;
            }));
}

const Row rows[] = {
    // the file
    {"NotToml", "[log\n", {"f:1:5: not TOML: Error while parsing table header: expected ']', saw '\\n'"}},
    {"Empty",
     "",
     {"f: listener: there is none, so nobody could connect; write [[listener]] with name and address = "
      "\"127.0.0.1:14330\"",
      "f: route: there is none, so every login would be refused; write [[route]] with name, target and identity"}},
    {"UnknownTable", with("[kerberso]\n"), {"f:12:2: kerberso: unknown key; did you mean \"kerberos\"?"}},
    {"UnknownKey",
     with("tarpet = \"x\"\n"),
     {"f:12:1: route[0].tarpet: unknown key; did you mean \"target\"?"}},
    {"LaterKey",
     with("smb_port = 445\n"),
     {"f:12:1: route[0].smb_port: not supported by this version; take it out"}},
    {"RouteAsTable",
     std::string(listener) + "[route]\n",
     {"f:4:1: route: there may be several of them; write [[route]] with two brackets"}},

    // [limits], [domains]
    {"Limits",
     with(
         "[limits]\nhandshakes = 0\nhandshakes_per_uid = \"16\"\nconnections = 1000001\ndrain = \"0s\"\nclient_login = 10\n"
         "clients = 1\n"),
     {"f:13:14: limits.handshakes: 0 is out of range; write a number from 1 to 1000000",
      "f:14:22: limits.handshakes_per_uid: must be an integer, not a string; take the quotes away",
      "f:15:15: limits.connections: 1000001 is out of range; write a number from 1 to 1000000",
      "f:16:9: limits.drain: \"0s\" would wait for ever; write \"1s\" to hardly wait",
      "f:17:16: limits.client_login: 10 has no unit; write \"10s\" or \"10ms\"",
      "f:18:1: limits.clients: unknown key; known here: addresses, client_login, connections, drain, handshakes, handshakes_per_uid"}},
    {"LimitsAddresses",
     with("[limits]\naddresses = 0\n"),
     {"f:13:13: limits.addresses: 0 is out of range; write a number from 1 to 1000000"}},
    {"KeysOfLaterVersions",
     with("[log]\nsize = \"64MiB\"\nwhen_full = \"serve\"\n[limits]\nconnections_per_uid = 6\n"
          "[kerberos]\npassword_etypes = \"any\"\n"),
     {"f:13:1: log.size: not supported by this version; take it out",
      "f:14:1: log.when_full: not supported by this version; take it out",
      "f:16:1: limits.connections_per_uid: not supported by this version; take it out",
      "f:18:1: kerberos.password_etypes: not supported by this version; take it out"}},
    {"LimitsNever",
     with("[limits]\nclient_login = \"0s\"\n"),
     {"f:13:16: limits.client_login: \"0s\" would be no deadline at all; write \"10s\""}},
    {"Domains",
     with("[domains]\nCORP = \"CORP.TEST\"\ncorp = \"OTHER.TEST\"\nOLD = \"corp.test\"\nLAB = \"lab.test\"\n"
          "a.b = \"A.TEST\"\n\"a.b.c\" = \"A.TEST\"\nX = 5\nY = \"A B\"\nSIXTEENLETTERS16 = \"S.TEST\"\n"),
     {"f:14:8: domains.corp: domain CORP stands here twice, since capitals do not count; take one out",
      "f:15:7: domains.OLD: \"corp.test\" is the realm of CORP already, and a realm has one NetBIOS domain; take one out",
      "f:16:7: domains.LAB: warning: \"lab.test\" has small letters, and capitals count in realms; Active Directory's are "
      "\"LAB.TEST\"",
      "f:17:1: domains.a: must be a string, not a table; a NetBIOS domain has no dot",
      "f:18:11: domains.a.b.c: \"a.b.c\" has a dot, as a DNS domain; write the NetBIOS name, the part before \\ in "
      "DOMAIN\\user",
      "f:19:5: domains.X: must be a string, not an integer; put it in quotes",
      "f:20:5: domains.Y: \"A B\" is no Kerberos realm; write it as the KDC does, as \"CORP.TEST\"",
      "f:21:20: domains.SIXTEENLETTERS16: \"SIXTEENLETTERS16\" is no NetBIOS domain; write 1 to 15 letters or digits, as "
      "CORP"}},

    // [aliases]
    {"Aliases",
     with(
         "[aliases]\nweb = \"sql1\"\nWEB = \"sql2\"\ndb.corp.test = \"sql1\"\na = \"b\"\nb = \"a\"\npipe = \"np:x\"\nn = "
         "5\n\"x y\" = \"sql1\"\ninst = 'sql1\\a;b'\n"),
     {"f:14:7: aliases.WEB: \"web\" stands here twice, since capitals do not count; take one out",
      "f:15:1: aliases.db: must be a string, not a table; a name with dots stands in quotes, as \"web.corp.test\" = "
      "\"sql1.corp.test\"",
      "f:16:5: aliases.a: aliases go round in a loop: a -> b -> a",
      "f:17:5: aliases.b: aliases go round in a loop: b -> a -> b",
      "f:18:8: aliases.pipe: named pipes are not supported by this version; write the server's name and port, as "
      "\"sql1,1433\"",
      "f:19:5: aliases.n: must be a string, not an integer; put it in quotes",
      "f:20:9: aliases.x y: the host name holds a character that no host name has: only letters, digits, '-', '_' and '.' "
      "are",
      "f:21:8: aliases.inst: \"a;b\" holds a character that no instance has; write letters, digits, _ and $; write the "
      "port, as 'sql1\\a;b,PORT'"}},
    {"AliasFiles",
     with("[aliases]\nfreetds_conf = [\"\", 5, \"absent.conf\"]\n"),
     {"f:13:17: aliases.freetds_conf[0]: is empty; write the path of a freetds.conf, or true for FreeTDS's own search "
      "order",
      "f:13:21: aliases.freetds_conf[1]: must be a string, not an integer; put it in quotes",
      "f:13:24: aliases.freetds_conf[2]: warning: absent.conf does not exist (yet), so it has no aliases"}},
    {"AliasFilesInFreetdsOrder", with("[aliases]\nfreetds_conf = true\n"), {}},

    // [log], [dns], [kerberos]
    {"LogLevel",
     with("[log]\nlevel = \"warning\"\n"),
     {"f:13:9: log.level: \"warning\" is unknown; write one of \"trace\", \"debug\", \"info\", \"warn\", \"error\""}},
    {"LogPathEmpty",
     with("[log]\ndecisions = \"\"\n"),
     {"f:13:13: log.decisions: is empty; write a path, or \"-\" for standard output"}},
    {"DnsServerName",
     with("[dns]\nservers = [\"10.0.0.1\", \"dns1\"]\n"),
     {"f:13:24: dns.servers[1]: \"dns1\" is no address and port; write \"127.0.0.1:14330\""}},
    {"DnsServersNone",
     with("[dns]\nservers = []\n"),
     {"f:13:11: dns.servers: is empty; name at least one server, or leave it out to use resolv.conf"}},
    {"DnsServersString",
     with("[dns]\nservers = \"10.0.0.1\"\n"),
     {"f:13:11: dns.servers: must be an array, not a string; write servers = [\"10.0.0.1\"]"}},
    {"DnsSearch",
     with("[dns]\nsearch = [\".corp.test\"]\n"),
     {"f:13:11: dns.search[0]: is no domain; write it without a dot in front, as \"corp.test\""}},
    {"DnsResolver",
     with("[dns]\nresolver = \"glibc\"\n"),
     {"f:13:12: dns.resolver: \"glibc\" is unknown; write one of \"own\", \"system\""}},
    {"DnsHosts",
     with("[dns]\nhosts = 1\n"),
     {"f:13:9: dns.hosts: must be a string, not an integer; write hosts = \"1\""}},
    {"DnsHostsAbsent",
     with("[dns]\nhosts = \"no.hosts\"\n"),
     {"f:13:9: dns.hosts: warning: no.hosts does not exist (yet): it names nothing"}},
    {"KerberosConfigAbsent",
     with("[kerberos]\nconfig = \"no.conf\"\n"),
     {"f:13:10: kerberos.config: warning: no.conf does not exist (yet); logins that need it will fail"}},

    // [[listener]]
    {"ListenerWithoutName",
     "[[listener]]\naddress = \"127.0.0.1:0\"\n" + std::string(identity) + std::string(route),
     {"f:1:1: listener[0].name: is missing; write name = \"…\""}},
    {"ListenerName",
     "[[listener]]\nname = \"a b\"\naddress = \"127.0.0.1:0\"\n" + std::string(identity) + std::string(route),
     {"f:2:8: listener[0].name: \"a b\" is no proper name; write letters, digits, '.', '_' or '-', 64 at most"}},
    {"ListenerNowhere",
     "[[listener]]\nname = \"a\"\n" + std::string(identity) + std::string(route),
     {"f:1:1: listener[0]: has neither address nor unix; write address = \"127.0.0.1:14330\" or unix = \"PATH\""}},
    {"ListenerTwice",
     with_listener("unix = \"a.sock\"\n"),
     {"f:1:1: listener[0]: has both address and unix; write one of them, and a second [[listener]] for the other"}},
    {"ListenerBeyondLoopback",
     "[[listener]]\nname = \"a\"\naddress = \"0.0.0.0:1433\"\n" + std::string(identity) + std::string(route),
     {"f:3:11: listener[0].address: \"0.0.0.0:1433\" is not loopback, and callers from other machines cannot be "
      "proven; write \"127.0.0.1:1433\""}},
    {"ListenerOnEveryAddress",
     "[[listener]]\nname = \"a\"\naddress = \"[::]:1433\"\n[[listener]]\nname = \"b\"\naddress = \"[fe80::1]:1433\"\n" +
         std::string(identity) + std::string(route),
     {"f:3:11: listener[0].address: \"[::]:1433\" is not loopback, and callers from other machines cannot be proven; write "
      "\"[::1]:1433\"",
      "f:6:11: listener[1].address: \"[fe80::1]:1433\" is not loopback, and callers from other machines cannot be proven; "
      "write \"[::1]:1433\""}},
    {"ListenerMappedAddress",
     "[[listener]]\nname = \"a\"\naddress = \"[::ffff:127.0.0.1]:1433\"\n" + std::string(identity) +
         std::string(route),
     {"f:3:11: listener[0].address: \"[::ffff:127.0.0.1]:1433\" is not loopback, and callers from other machines cannot be "
      "proven; write \"127.0.0.1:1433\""}},
    {"ListenerByName",
     "[[listener]]\nname = \"a\"\naddress = \"sql1:1433\"\n" + std::string(identity) + std::string(route),
     {"f:3:11: listener[0].address: \"sql1\" is no IP address; names are not looked up here, write the address, as "
      "\"127.0.0.1:14330\""}},
    {"ListenerOnATwin",
     "[[listener]]\nname = \"a\"\naddress = \"[::1]:1433\"\n"
     "[[listener]]\nname = \"b\"\naddress = \"localhost:1433\"\n" +
         std::string(identity) + std::string(route),
     {"f:6:11: listener[1].address: \"[::1]:1433\" is taken by listener[0]; write another port"}},
    {"ListenersAlikeInOtherWords",
     with("[[listener]]\nname = \"a\"\naddress = \"[::1]:1433\"\n"
          "[[listener]]\nname = \"b\"\naddress = \"[0:0:0:0:0:0:0:1]:01433\"\n"),
     {"f:17:11: listener[2].address: \"[::1]:1433\" is taken by listener[1]; write another port"}},
    {"ListenersAlike",
     std::string(listener) + std::string(listener) + std::string(identity) + std::string(route),
     {"f:5:8: listener[1].name: \"reports\" is the name of listener[0] already; write another",
      "f:6:11: listener[1].address: \"127.0.0.1:14330\" is taken by listener[0]; write another port"}},
    {"SocketsAlike",
     with("[[listener]]\nname = \"a\"\nunix = \"s\"\n[[listener]]\nname = \"b\"\nunix = \"./x/../s\"\n"),
     {"f:17:8: listener[2].unix: \"s\" is taken by listener[1]; write another path"}},
    {"SocketPathLong",
     with("[[listener]]\nname = \"a\"\nunix = \"/" + std::string(107, 'x') + "\"\n"),
     {"f:14:8: listener[1].unix: is 108 bytes long with its folder; the kernel takes 107, write a shorter path"}},
    {"ModeOfAddress",
     with_listener("mode = \"0660\"\n"),
     {"f:4:8: listener[0].mode: is for Unix sockets; take it out, or write unix instead of address"}},
    {"ModeDecimal",
     with("[[listener]]\nname = \"a\"\nunix = \"s\"\nmode = 660\n"),
     {"f:15:8: listener[1].mode: 660 is decimal; write \"0660\" or 0o660"}},
    {"ModeOctal", with("[[listener]]\nname = \"a\"\nunix = \"s\"\nmode = 0o660\n"), {}},
    {"Callers",
     with_listener("callers = [\"self\", \"no-such-user-here\", \"*\", -1, true]\n"),
     {"f:4:20: listener[0].callers[1]: \"no-such-user-here\": this machine has no such user; write a user's name, "
      "\"@GROUP\", a uid, or \"self\" for "
      "who runs sqlshim",
      "f:4:41: listener[0].callers[2]: \"*\": there are no patterns for users; write a user's name, \"@GROUP\", a uid, "
      "or \"self\" for who runs "
      "sqlshim",
      "f:4:46: listener[0].callers[3]: -1 is no uid; it is negative",
      "f:4:50: listener[0].callers[4]: must be a string, not true or false; put it in quotes"}},
    {"CallersNone",
     with_listener("callers = []\n"),
     {"f:4:11: listener[0].callers: is empty, so nobody could; name users or \"@groups\", or take it out"}},
    {"ClientAuth",
     with_listener("client_auth = \"ntlm\"\n"),
     {"f:4:15: listener[0].client_auth: \"ntlm\" is unknown; write one of \"any\", \"sql\", \"integrated\""}},
    {"Version",
     with_listener("version = \"2022\"\n"),
     {"f:4:11: listener[0].version: \"2022\" is no version; write MAJOR.MINOR.BUILD, as \"16.0.0\""}},
    {"ListenerTls",
     with_listener("tls = \"on\"\n"),
     {"f:4:7: listener[0].tls: \"on\" is unknown; write one of \"off\", \"optional\", \"required\""}},
    {"ListenerTlsBoolean",
     with_listener("tls = true\n"),
     {"f:4:7: listener[0].tls: must be a string, not true or false"}},
    {"ListenerTlsOff", with_listener("tls = \"off\"\n"), {}},
    {"CertificateWithoutKey",
     with_listener("certificate = \"reports.keytab\"\n"),
     {"f:4:15: listener[0].certificate: stands without key; write both, or neither to have a certificate made in the state "
      "directory"}},
    {"KeyWithoutCertificate",
     with_listener("key = \"reports.keytab\"\ncertificate = \"\"\n"),
     {"f:4:7: listener[0].key: stands without certificate; write both, or neither to have a certificate made in the state "
      "directory"}},
    {"CertificateAndKeyEmptyAreMade", with_listener("certificate = \"\"\nkey = \"\"\n"), {}},
    {"KeyOfAWrongType",
     with_listener("certificate = \"reports.keytab\"\nkey = 5\n"),
     {"f:5:7: listener[0].key: must be a string, not an integer; write key = \"5\""}},
    {"CertificateAbsent",
     with_listener("certificate = \"no.pem\"\nkey = \"no.key\"\n"),
     {"f:4:15: listener[0].certificate: warning: no.pem does not exist (yet); logins that need it will fail",
      "f:5:7: listener[0].key: warning: no.key does not exist (yet); logins that need it will fail"}},
    {"KeyIsAFolder",
     with_listener("certificate = \"reports.keytab\"\nkey = \"/\"\n"),
     {"f:5:7: listener[0].key: / is a folder; name the file"}},
    {"CertificateNeverShown",
     with_listener("tls = \"off\"\ncertificate = \"reports.keytab\"\nkey = \"reports.keytab\"\n"),
     {"f:5:15: listener[0].certificate: warning: is never shown: tls is \"off\" here; write \"optional\", or take it out"}},

    // [state]
    {"StateEmpty", with("[state]\ndirectory = \"\"\n"), {"f:13:13: state.directory: is empty; write a path"}},
    {"StateIsAFile",
     with("[state]\ndirectory = \"reports.keytab\"\n"),
     {"f:13:13: state.directory: reports.keytab is no folder; name one, it is made if absent"}},
    {"StateUnknownKey",
     with("[state]\ndirectry = \"x\"\n"),
     {"f:13:1: state.directry: unknown key; did you mean \"directory\"?"}},

    // [[identity]]
    {"IdentityWithoutSource",
     std::string(listener) + "[[identity]]\nname = \"svc\"\n" + std::string(route),
     {"f:4:1: identity[0]: has no credentials; write keytab and principal, ccache, password_file and principal, or from"}},
    {"IdentityOfTwoSources",
     with_identity("ccache = \"KEYRING:session:x\"\n"),
     {"f:4:1: identity[0]: has keytab and ccache; write one of them, and another [[identity]] for the other"}},
    {"IdentityWithoutPrincipal",
     std::string(listener) + "[[identity]]\nname = \"svc\"\nkeytab = \"reports.keytab\"\n" +
         std::string(route),
     {"f:4:1: identity[0].principal: is missing; a keytab needs one, write principal = \"NAME@REALM\""}},
    {"IdentityPrincipal",
     std::string(listener) +
         "[[identity]]\nname = \"svc\"\nkeytab = \"reports.keytab\"\nprincipal = \"svc\"\n" +
         std::string(route),
     {"f:7:13: identity[0].principal: \"svc\" has no realm; write NAME@REALM, as \"svc-reports@CORP.TEST\""}},
    {"IdentityFromClient", of_whom("from = \"client\"\n"), {}},
    {"IdentityFromClientAndMore",
     of_whom("from = \"client\"\nccache = \"x\"\nprincipal = \"a@B.TEST\"\n"),
     {"f:7:10: identity[0].ccache: is not used: with from = \"client\" the application's user and password are; take it out",
      "f:8:13: identity[0].principal: is not used: with from = \"client\" the application's user and password are; take it "
      "out"}},
    {"IdentityFromCaller", of_whom("from = \"caller\"\n"), {}},
    {"IdentityFromCallerAndMore",
     of_whom("from = \"caller\"\nkeytab = \"reports.keytab\"\n"),
     {"f:7:10: identity[0].keytab: is not used: with from = \"caller\" the caller's own ccache tells who; take it out"}},
    {"IdentityFromSomebody",
     of_whom("from = \"callers\"\nkeytab = \"reports.keytab\"\n"),
     {"f:6:8: identity[0].from: \"callers\" is unknown; did you mean \"caller\"?"}},
    {"IdentityFromCallerOneForAll",
     of_whom("from = \"caller\"\nccache = \"FILE:/tmp/cc\"\n"),
     {"f:7:10: identity[0].ccache: \"FILE:/tmp/cc\" has no %{uid}, and would be one for all users; write a path like "
      "\"/tmp/krb5cc_%{uid}\""}},
    {"IdentityFromCallerNowhere",
     of_whom("from = \"caller\"\nccache = \"\"\n"),
     {"f:7:10: identity[0].ccache: is empty; write a path like \"/tmp/krb5cc_%{uid}\""}},
    {"IdentityFromCallerByName",
     of_whom("from = \"caller\"\nccache = \"/tmp/%{username}\"\n"),
     {"f:7:10: identity[0].ccache: \"/tmp/%{username}\": only %{uid} is replaced here; write a path like "
      "\"/tmp/krb5cc_%{uid}\""}},
    {"IdentityFromCallerOfAType", of_whom("from = \"caller\"\nccache = \"KEYRING:persistent:%{uid}\"\n"), {}},
    {"IdentityFromCallersOfAType",
     of_whom("from = \"caller\"\nccache = \"KCM:\"\nallow = [\"self\", \"@root\"]\n"),
     {"f:7:10: identity[0].ccache: \"KCM:\": a KCM cache opens for its own user alone, so only allow = [\"self\"] can use "
      "it; write a path like \"/tmp/krb5cc_%{uid}\""}},
    {"IdentityFromCallerOfAnotherType",
     of_whom("from = \"caller\"\nccache = \"MEMORY:%{uid}\"\n"),
     {"f:7:10: identity[0].ccache: \"MEMORY:%{uid}\" is of a type that cannot be used here; write a path like "
      "\"/tmp/krb5cc_%{uid}\""}},
    {"IdentityFromClientsOfIntegratedLogins",
     std::string(listener) +
         "client_auth = \"integrated\"\n[[identity]]\nname = \"svc\"\nfrom = \"client\"\n" +
         std::string(route),
     {"f:11:12: route[0].identity: warning: can never log in: \"svc\" takes the client's user and password, and listener "
      "reports takes integrated logins only; change its client_auth"}},
    {"IdentityFileAbsent",
     std::string(listener) + "[[identity]]\nname = \"svc\"\nccache = \"no.ccache\"\n" + std::string(route),
     {"f:6:10: identity[0].ccache: warning: no.ccache does not exist (yet); logins that need it will fail"}},
    {"IdentitiesAlike",
     with(identity),
     {"f:13:8: identity[1].name: \"svc\" is the name of identity[0] already; write another"}},

    // [[route]]
    {"RouteWithoutTarget",
     std::string(listener) + std::string(identity) + "[[route]]\nname = \"r\"\nidentity = \"svc\"\n",
     {"f:8:1: route[0].target: is missing; write the server as you would type it, as target = \"sql1.corp.test\""}},
    {"RouteTargetInstance",
     std::string(listener) + std::string(identity) +
         "[[route]]\nname = \"r\"\ntarget = 'sql1\\A123456789012345678901234567890123'\nidentity = \"svc\"\n",
     {"f:10:10: route[0].target: \"A123456789012345678901234567890123\" is no name of an instance: SQL Browser knows "
      "names of 1 to 32 characters; write the port, as 'sql1\\A123456789012345678901234567890123,PORT'"}},
    {"RouteTargetInstanceWithoutPort",
     std::string(listener) + std::string(identity) +
         "[[route]]\nname = \"r\"\ntarget = 'sql1\\X'\nidentity = \"svc\"\n",
     {}},
    {"RouteWithoutIdentity",
     std::string(listener) + "[[route]]\nname = \"r\"\ntarget = \"sql1\"\n",
     {"f:4:1: route[0].identity: is missing; tcp+kerberos needs one, write the name of an [[identity]]"}},
    {"RouteIdentityUnknown",
     std::string(listener) + std::string(identity) +
         "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nidentity = \"svd\"\n",
     {"f:11:12: route[0].identity: \"svd\" is unknown; did you mean \"svc\"?"}},
    {"RouteIdentityOfNone",
     std::string(listener) + "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nidentity = \"svc\"\n",
     {"f:7:12: route[0].identity: there is no identity \"svc\"; write an [[identity]] with that name"}},
    {"Attempts",
     with("attempts = [\"tcp+kerberos\", \"np+ntlm\", \"np+kerberos\", \"tcp+kerbero\", \"tcp+kerberos\"]\n"),
     {"f:12:29: route[0].attempts[1]: \"np+ntlm\" is not built yet; write \"tcp+ntlm\"",
      "f:12:40: route[0].attempts[2]: \"np+kerberos\" is not built yet; write \"tcp+kerberos\"",
      "f:12:55: route[0].attempts[3]: \"tcp+kerbero\" is unknown; did you mean \"tcp+kerberos\"?",
      "f:12:70: route[0].attempts[4]: \"tcp+kerberos\" stands here twice; take one out"}},
    {"AttemptsNone",
     with("attempts = []\n"),
     {"f:12:12: route[0].attempts: is empty; write [\"tcp+kerberos\"]"}},
    {"PasswordOverVerifiedTls", with_password(""), {}},
    {"PasswordOverStrict", with_password("encrypt = \"strict\"\n"), {}},
    {"PasswordOverVerifiedTlsNeedsNoConsent", with_password("unprotected = \"accept\"\n"), {}},
    {"PasswordOverLoginAlone",
     with_password("encrypt = \"login\"\n"),
     {"f:8:11: route[0].encrypt: warning: \"login\" encrypts the login alone: queries and results go over the network in "
      "clear; write \"require\""}},
    {"PasswordInClear",
     with_password("encrypt = \"off\"\n"),
     {"f:7:12: route[0].attempts: tcp+sql sends the application's password over the network, and encrypt = \"off\" leaves it "
      "readable: write \"require\"; take tcp+sql out, or write unprotected = \"accept\""}},
    {"PasswordToAnyServer",
     with_password("trust_server_certificate = true\n"),
     {"f:7:12: route[0].attempts: tcp+sql sends the application's password over the network, and trust_server_certificate = "
      "true gives it to any server: take that out, and name the authority in ca_file; take tcp+sql out, or write unprotected "
      "= \"accept\"",
      "f:8:28: route[0].trust_server_certificate: warning: takes any certificate, an impostor's too; take it out, and name the "
      "authority in ca_file"}},
    {"PasswordInClearAccepted",
     with_password("encrypt = \"off\"\nunprotected = \"accept\"\n"),
     {"f:9:15: route[0].unprotected: warning: passwords of applications go over the network to the server readable by "
      "anybody"}},
    {"PasswordToAnyServerAccepted",
     with_password("unprotected = \"accept\"\ntrust_server_certificate = true\n"),
     {"f:8:15: route[0].unprotected: warning: passwords of applications go to whoever answers as the server: no certificate "
      "is checked",
      "f:9:28: route[0].trust_server_certificate: warning: takes any certificate, an impostor's too; take it out, and name the "
      "authority in ca_file"}},
    {"NtlmOverVerifiedTls", with_ntlm(""), {}},
    {"NtlmOverStrict", with_ntlm("encrypt = \"strict\"\n"), {}},
    {"NtlmOfAKeytab",
     with("attempts = [\"tcp+ntlm\"]\n"),
     {"f:11:12: route[0].identity: \"svc\" has no password, which tcp+ntlm needs; give it a password_file, or take tcp+ntlm out "
      "of attempts"}},
    {"NtlmWithoutIdentity",
     std::string(listener) + "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nattempts = [\"tcp+ntlm\"]\n",
     {"f:4:1: route[0].identity: is missing; tcp+ntlm needs one, write the name of an [[identity]]"}},
    {"NtlmInClear",
     with_ntlm("encrypt = \"off\"\n"),
     {"f:12:12: route[0].attempts: tcp+ntlm sends an answer that the password can be guessed from over the network, and encrypt "
      "= \"off\" leaves it readable: write \"require\"; take tcp+ntlm out, or write unprotected = \"accept\""}},
    {"NtlmBehindLoginAlone",
     with_ntlm("encrypt = \"login\"\n"),
     {"f:12:12: route[0].attempts: tcp+ntlm sends an answer that the password can be guessed from over the network, and encrypt "
      "= \"login\" leaves it readable: write \"require\"; take tcp+ntlm out, or write unprotected = \"accept\"",
      "f:13:11: route[0].encrypt: warning: \"login\" encrypts the login alone: queries and results go over the network in "
      "clear; write \"require\""}},
    {"NtlmToAnyServer",
     with_ntlm("trust_server_certificate = true\n"),
     {"f:12:12: route[0].attempts: tcp+ntlm sends an answer that the password can be guessed from over the network, and "
      "trust_server_certificate = true gives it to any server: take that out, and name the authority in ca_file; take tcp+ntlm "
      "out, or write unprotected = \"accept\"",
      "f:13:28: route[0].trust_server_certificate: warning: takes any certificate, an impostor's too; take it out, and name the "
      "authority in ca_file"}},
    {"NtlmInClearAccepted",
     with_ntlm("encrypt = \"off\"\nunprotected = \"accept\"\n"),
     {"f:14:15: route[0].unprotected: warning: answers that passwords can be guessed from go over the network to the server "
      "readable by anybody"}},
    {"EncryptOffWithoutPasswords",
     with("encrypt = \"off\"\n"),
     {"f:12:11: route[0].encrypt: warning: \"off\" checks no certificate: whoever forges DNS, and owns any service that it "
      "may lead to, is taken for the server; write \"require\", or names = [\"as-typed\"]"}},
    {"EncryptOffWithAnSpn", with("encrypt = \"off\"\nspn = \"MSSQLSvc/x:1433@A.TEST\"\n"), {}},
    {"EncryptOffAsTyped", with("encrypt = \"off\"\nnames = [\"as-typed\"]\n"), {}},
    {"EncryptStrict", with("encrypt = \"strict\"\n"), {}},
    {"EncryptUnknown",
     with("encrypt = \"none\"\n"),
     {"f:12:11: route[0].encrypt: \"none\" is unknown; write one of \"require\", \"strict\", \"login\", \"off\""}},
    {"EncryptMistyped",
     with("encrypt = \"required\"\n"),
     {"f:12:11: route[0].encrypt: \"required\" is unknown; did you mean \"require\"?"}},
    {"StrictTrustsNobody",
     with("encrypt = \"strict\"\ntrust_server_certificate = true\n"),
     {"f:13:28: route[0].trust_server_certificate: encrypt = \"strict\" always checks the certificate; take this out, and name "
      "the authority in ca_file"}},
    {"TrustIsTrueOrFalse",
     with("trust_server_certificate = \"true\"\n"),
     {"f:12:28: route[0].trust_server_certificate: must be true or false, not a string; take the quotes away"}},
    {"TrustFalse", with("trust_server_certificate = false\n"), {}},
    {"TrustWithoutTls",
     with("encrypt = \"off\"\ntrust_server_certificate = true\n"),
     {"f:12:11: route[0].encrypt: warning: \"off\" checks no certificate: whoever forges DNS, and owns any service that it "
      "may lead to, is taken for the server; write \"require\", or names = [\"as-typed\"]"}},
    {"CaFileAbsent",
     with("ca_file = \"no.pem\"\n"),
     {"f:12:11: route[0].ca_file: warning: no.pem does not exist (yet); logins that need it will fail"}},
    {"CaFileEmptyIsTheSystems", with("ca_file = \"\"\nhost_name_in_certificate = \"\"\n"), {}},
    {"HostNameInCertificate",
     with("host_name_in_certificate = \"*.corp.test\"\n"),
     {"f:12:28: route[0].host_name_in_certificate: \"*.corp.test\" is a pattern; write one name, which a pattern in the "
      "certificate may cover"}},
    {"HostNameWithPort",
     with("host_name_in_certificate = \"sql1:1433\"\n"),
     {"f:12:28: route[0].host_name_in_certificate: \"sql1:1433\" is no host name; write it as \"sql1.corp.test\""}},
    {"TlsMinOld",
     with("tls_min = \"1.0\"\n"),
     {"f:12:11: route[0].tls_min: warning: \"1.0\" takes versions of TLS that are broken; take it out as soon as the server has "
      "TLS 1.2"}},
    {"TlsMinUnknown",
     with("tls_min = \"1.3\"\n"),
     {"f:12:11: route[0].tls_min: \"1.3\" is unknown; did you mean \"1.2\"?"}},
    {"TlsMinNumber",
     with("tls_min = 1.2\n"),
     {"f:12:11: route[0].tls_min: must be a string, not a number with a fraction"}},
    {"RedirectWithin",
     with("redirect_within = [\"corp.test\", \".corp.test\", \"*.test\", \"\", \"a..b\", 5]\n"),
     {"f:12:33: route[0].redirect_within[1]: \".corp.test\": a domain holds all that is below it; write it without * or dot in "
      "front, as \"corp.test\"",
      "f:12:47: route[0].redirect_within[2]: \"*.test\": a domain holds all that is below it; write it without * or dot in "
      "front, as \"corp.test\"",
      "f:12:57: route[0].redirect_within[3]: \"\" is no domain; write it as \"corp.test\"",
      "f:12:61: route[0].redirect_within[4]: \"a..b\" is no domain; write it as \"corp.test\"",
      "f:12:69: route[0].redirect_within[5]: must be a string, not an integer; put it in quotes"}},
    {"RedirectWithinOneText",
     with("redirect_within = \"corp.test\"\n"),
     {"f:12:19: route[0].redirect_within: must be an array, not a string; write redirect_within = [\"corp.test\"]"}},
    {"StandInOfVerifiedTls", with("mutual_auth = \"or-verified-tls\"\n"), {}},
    {"StandInOfTlsThatHasEnded",
     with("mutual_auth = \"or-verified-tls\"\nencrypt = \"login\"\n"),
     {"f:12:15: route[0].mutual_auth: with encrypt = \"login\" TLS ends before the server answers, and what its "
      "certificate proved ends with it; write encrypt = \"require\"",
      "f:13:11: route[0].encrypt: warning: \"login\" encrypts the login alone: queries and results go over the network in "
      "clear; write \"require\""}},
    {"StandInWithoutTls",
     with("mutual_auth = \"or-verified-tls\"\nencrypt = \"off\"\n"),
     {"f:12:15: route[0].mutual_auth: warning: nothing can stand in for the server's own proof: encrypt is \"off\"; the server "
      "must prove itself as with \"required\"",
      "f:13:11: route[0].encrypt: warning: \"off\" checks no certificate: whoever forges DNS, and owns any service that it "
      "may lead to, is taken for the server; write \"require\", or names = [\"as-typed\"]"}},
    {"StandInUnverified",
     with("mutual_auth = \"or-verified-tls\"\ntrust_server_certificate = true\n"),
     {"f:12:15: route[0].mutual_auth: warning: nothing can stand in for the server's own proof: no certificate is checked; the "
      "server must prove itself as with \"required\"",
      "f:13:28: route[0].trust_server_certificate: warning: takes any certificate, an impostor's too; take it out, and name the "
      "authority in ca_file"}},
    {"SpnWithoutClass",
     with("spn = \"sql1:1433\"\n"),
     {"f:12:7: route[0].spn: \"sql1:1433\" is no SPN of SQL Server; write MSSQLSvc/HOST:PORT or "
      "MSSQLSvc/HOST:PORT@REALM"}},
    {"SpnEmptyIsComputed", with("spn = \"\"\n"), {}},
    {"FailoverPartner", with("failover_partner = 'sql2\\INST'\n"), {}},
    {"FailoverPartnerEmptyIsNone", with("failover_partner = \"\"\n"), {}},
    {"FailoverPartnerByPipe",
     with("failover_partner = \"np:sql2\"\n"),
     {"f:12:20: route[0].failover_partner: named pipes are not supported by this version; write the server's name and "
      "port, as \"sql1,1433\""}},

    // [browser]
    {"BrowserGood", with("[browser]\naddress = \"127.0.0.1\"\ninstances = { inst = \"reports\" }\n"), {}},
    {"BrowserWithoutAnything",
     with("[browser]\n"),
     {"f:12:1: browser.address: is missing, so nobody would be answered; write address = \"127.0.0.1:1434\"",
      "f:12:1: browser.instances: is missing; write instances = { INSTANCE = \"listener\" }"}},
    {"BrowserAddress",
     with("[browser]\naddress = \"0.0.0.0:1434\"\ninstances = { INST = \"reports\" }\n"),
     {"f:13:11: browser.address: \"0.0.0.0:1434\" is not loopback, and no listener can be reached from other machines; "
      "write \"127.0.0.1:1434\"",
      "f:14:22: browser.instances.INST: warning: applications connect to the address that they asked, 0.0.0.0, and "
      "listener \"reports\" is on 127.0.0.1"}},
    {"BrowserInstances",
     with(
         "[browser]\naddress = \"127.0.0.1:0\"\n[browser.instances]\nINST = \"reports\"\ninst = \"reports\"\nDW = \"report\"\nN = 5\n"
         "\"a b\" = \"reports\"\nA123456789012345678901234567890123 = \"reports\"\n"),
     {"f:16:8: browser.instances.inst: instance INST stands here twice, since capitals do not count; take one out",
      "f:17:6: browser.instances.DW: \"report\" is unknown; did you mean \"reports\"?",
      "f:18:5: browser.instances.N: must be a string, not an integer; put it in quotes",
      "f:19:9: browser.instances.a b: \"A B\" holds a character that no instance has; write letters, digits, _ and $",
      "f:20:38: browser.instances.A123456789012345678901234567890123: \"A123456789012345678901234567890123\" is no name "
      "of an instance: SQL Browser knows names of 1 to 32 characters"}},
    {"BrowserNoInstances",
     with("[browser]\naddress = \"127.0.0.1:0\"\ninstances = { }\n"),
     {"f:14:13: browser.instances: names no instance; write { INSTANCE = \"listener\" }"}},
    {"MultiSubnet", with("multi_subnet = true\n"), {}},
    {"MultiSubnetWord",
     with("multi_subnet = \"yes\"\n"),
     {"f:12:16: route[0].multi_subnet: must be true or false, not a string; take the quotes away"}},
    {"FallbackGood",
     with(
         "attempts = [\"tcp+kerberos\", \"tcp+sql\"]\nfallback_on = [\"spn-missing\", \"kdc-unreachable\"]\nfallback = "
         "\"audit\"\n"),
     {}},
    {"FallbackUnknown",
     with(
         "attempts = [\"tcp+kerberos\", \"tcp+sql\"]\nfallback_on = [\"spn-mising\", 5, \"spn-missing\", \"spn-missing\"]\n"
         "fallback = \"offf\"\n"),
     {"f:13:16: route[0].fallback_on[0]: \"spn-mising\" is unknown; did you mean \"spn-missing\"?",
      "f:13:30: route[0].fallback_on[1]: must be a string, not an integer; put it in quotes",
      "f:13:48: route[0].fallback_on[3]: \"spn-missing\" stands here twice; take one out",
      "f:14:12: route[0].fallback: \"offf\" is unknown; did you mean \"off\"?"}},
    {"FallbackNever",
     with(
         "attempts = [\"tcp+kerberos\", \"tcp+sql\"]\nfallback_on = [\"preauth-failed\", \"spn-wrong-account\", "
         "\"certificate-name\"]\n"),
     {"f:13:16: route[0].fallback_on[0]: no other attempt is ever made after preauth-failed: the next attempt is for the "
      "same account, and could lock it; take it out",
      "f:13:34: route[0].fallback_on[1]: no other attempt is ever made after spn-wrong-account: the server had a ticket and "
      "rejected it, which is no missing SPN; take it out",
      "f:13:55: route[0].fallback_on[2]: no other attempt is ever made after certificate-name: whoever answers is not proven "
      "to be the server; take it out"}},
    {"FallbackOfOneAttempt",
     with("fallback_on = [\"spn-missing\"]\n"),
     {"f:12:15: route[0].fallback_on: warning: leads nowhere: tcp+kerberos is the only attempt; add another to attempts"}},
    {"AttemptNeverMade",
     with("attempts = [\"tcp+kerberos\", \"tcp+sql\"]\n"),
     {"f:12:12: route[0].attempts: warning: tcp+sql is never made after tcp+kerberos has failed; list the causes that may "
      "lead to it in fallback_on"}},
    {"AttemptForWhoGaveNoPassword", with("attempts = [\"tcp+sql\", \"tcp+kerberos\"]\n"), {}},
    {"NamesGood",
     with("names = [\"map\", \"forward-reverse\", \"reverse\", \"forward\"]\n"
          "map = [{ from = \"SQL*\", to = \"sql1.corp.test.\" }]\ncanonical_within = [\"corp.test\"]\n"
          "spn_order = [\"reverse\", \"port\"]\nrealm_order = [\"srv\", \"default\"]\n"),
     {}},
    {"NamesNone",
     with("names = []\n"),
     {"f:12:9: route[0].names: is empty; write one of as-typed, short-only, forward, forward-reverse, reverse, map, or "
      "take it out"}},
    {"NamesUnknown",
     with("names = [\"foward\", 5, \"forward\", \"forward\"]\n"),
     {"f:12:10: route[0].names[0]: \"foward\" is unknown; did you mean \"forward\"?",
      "f:12:20: route[0].names[1]: must be a string, not an integer; put it in quotes",
      "f:12:34: route[0].names[3]: \"forward\" stands here twice; take one out"}},
    {"NamesOfADriver", with("names = [\"driver:jtds\"]\n"), {}},
    {"NamesOfADriverAlone", with("names = \"driver:go-mssqldb\"\n"), {}},
    {"NamesOfNoDriver",
     with("names = [\"driver:jtd\"]\n"),
     {"f:12:10: route[0].names[0]: \"jtd\" is unknown; did you mean \"jtds\"?"}},
    {"NamesOfADriverAndMore",
     with("names = [\"map\", \"driver:jtds\"]\n"),
     {"f:12:17: route[0].names[1]: a driver has a name for every target, and never asks another procedure; write it "
      "alone"}},
    {"NamesAsAWord",
     with("names = \"forward\"\n"),
     {"f:12:9: route[0].names: must be an array, not a string; write names = [\"forward\"]"}},
    {"TargetIsAPipe",
     std::string(listener) + std::string(identity) +
         "[[route]]\nname = \"r\"\ntarget = 'np:sql1'\nidentity = \"svc\"\n",
     {"f:10:10: route[0].target: named pipes are not supported by this version; write the server's name and port, as "
      "\"sql1,1433\""}},
    {"NamesNeverAsked",
     with("names = [\"as-typed\", \"forward\"]\n"),
     {"f:12:9: route[0].names: warning: \"as-typed\" has a name for every target, so \"forward\" behind it is never "
      "asked; put it last"}},
    {"MapWithoutRules",
     with("names = [\"map\"]\n"),
     {"f:12:9: route[0].names: \"map\" has no rules; write map = [{ from = \"sqlalias\", to = \"sql1.corp.test\" }]"}},
    {"MapUnused",
     with("map = [{ from = \"a\", to = \"b\" }]\n"),
     {"f:12:7: route[0].map: is not used, since names does not have \"map\"; write names = [\"map\", \"forward\"]"}},
    {"MapRules",
     with("names = [\"map\"]\nmap = [{ from = \"\", to = \"a b\" }, { to = \"x\", too = 1 }]\n"),
     {"f:13:17: route[0].map[0].from: is empty; write a pattern (\"*\" any text, \"?\" one character)",
      "f:13:26: route[0].map[0].to: \"a b\" is no host name; write it as \"sql1.corp.test\"",
      "f:13:35: route[0].map[1].from: is missing; write { from = \"sqlalias\", to = \"sql1.corp.test\" }",
      "f:13:47: route[0].map[1].too: unknown key; did you mean \"to\"?"}},
    {"CanonicalWithin",
     with("canonical_within = [\"*.corp.test\"]\n"),
     {"f:12:21: route[0].canonical_within[0]: \"*.corp.test\": a domain holds all that is below it; write it without * or dot in front, as \"corp.test\""}},
    {"SpnOrder",
     with("spn_order = [\"port\", \"ptr\"]\nrealm_order = [\"domain_realm\"]\n"),
     {"f:12:22: route[0].spn_order[1]: \"ptr\" is unknown; write one of \"explicit\", \"port\", \"instance\", \"bare\", \"typed\", \"reverse\"",
      "f:13:16: route[0].realm_order[0]: \"domain_realm\" is unknown; did you mean \"domain-realm\"?"}},
    {"SpnOrderWithoutTheExplicitOne",
     with("spn = \"MSSQLSvc/x:1\"\nspn_order = [\"port\"]\n"),
     {"f:12:7: route[0].spn: is not used, since spn_order does not have \"explicit\"; take it out, or add that word"}},
    {"SpnOrderReverseWithoutPtr",
     with("spn_order = [\"port\", \"reverse\"]\n"),
     {"f:12:13: route[0].spn_order: warning: \"reverse\" has no name to offer, since no procedure of names asks for one; "
      "write names = [\"forward-reverse\", \"forward\"]"}},
    {"DnsFailures",
     with("[dns]\nfailures = 5\n"),
     {"f:13:12: dns.failures: 5 has no unit; write \"5s\" or \"5ms\""}},
    {"Timeouts",
     with("timeouts = { connect = 5, dns = \"2\", kdc = \"-1s\", login = \"0s\", total = \"1s\" }\n"),
     {"f:12:24: route[0].timeouts.connect: 5 has no unit; write \"5s\" or \"5ms\"",
      "f:12:33: route[0].timeouts.dns: \"2\" has no unit; write \"2s\" or \"2ms\"",
      "f:12:44: route[0].timeouts.kdc: \"-1s\" is negative; write \"0s\" for never",
      "f:12:59: route[0].timeouts.login: \"0s\" would be no deadline at all, which only idle may have; write \"5s\"",
      "f:12:65: route[0].timeouts.total: unknown key; known here: connect, dns, idle, kdc, login"}},
    {"MatchEmpty",
     with("match = { server = \"\" }\n"),
     {"f:12:20: route[0].match.server: is empty; take it out to match everything, or write a pattern (\"*\" any text, "
      "\"?\" one character)"}},
    {"MatchListener",
     with("match = { listener = \"report\" }\n"),
     {"f:1:1: listener[0]: warning: no route takes logins from listener \"reports\": all will be refused",
      "f:12:22: route[0].match.listener: \"report\" is unknown; did you mean \"reports\"?"}},
    {"MatchCaller",
     with("match = { caller = \"no-such-user-here\" }\n"),
     {"f:12:20: route[0].match.caller: \"no-such-user-here\": this machine has no such user; write a user's name, "
      "\"@GROUP\", a uid, or \"self\" for "
      "who runs sqlshim"}},
    {"MatchCallerThatNoListenerAdmits",
     std::string(listener) + "callers = [4242, \"root\"]\n" + std::string(identity) + "allow = [4242]\n" +
         std::string(route) + "match = { caller = [4243, 4244] }\n",
     {"f:14:9: route[0].match: warning: can never match: listener reports admits none of the users in match.caller (\"self\" is "
      "uid " +
      std::to_string(::getuid()) + " here); add them to its callers"}},
    {"MatchCallerOfAGroup",
     std::string(listener) + "callers = [4242]\n" + std::string(identity) + "allow = [4242]\n" +
         std::string(route) + "match = { caller = \"@root\" }\n",
     {}},
    {"IdentityForNobodyWhoComes",
     std::string(listener) + "callers = [4242, 4243]\n" + std::string(identity) + "allow = [4244]\n" +
         std::string(route),
     {"f:13:12: route[0].identity: warning: nobody who can come here may use \"svc\" (\"self\" is uid " +
      std::to_string(::getuid()) + " here), so every login will be refused; add the callers to its allow"}},
    {"IdentityForNobodyWhoMatches",
     std::string(listener) + "callers = [4242, 4243]\n" + std::string(identity) + "allow = [4243]\n" +
         std::string(route) + "match = { caller = [4242] }\n",
     {"f:13:12: route[0].identity: warning: nobody who can come here may use \"svc\" (\"self\" is uid " +
      std::to_string(::getuid()) + " here), so every login will be refused; add the callers to its allow"}},
    {"IdentityForSelfByNumber",
     std::string(listener) + "callers = [" + std::to_string(::getuid()) + "]\n" + std::string(identity) +
         std::string(route),
     {}},
    {"PasswordsOfListenerWithoutThem",
     std::string(listener) +
         "client_auth = \"integrated\"\n[[route]]\nname = \"r\"\ntarget = \"sql1\"\nattempts = [\"tcp+sql\"]\n"
         "unprotected = \"accept\"\nencrypt = \"off\"\n",
     {"f:8:12: route[0].attempts: warning: can never be made: tcp+sql sends on the client's user and password, and listener "
      "reports takes integrated logins only; change its client_auth",
      "f:9:15: route[0].unprotected: warning: passwords of applications go over the network to the server readable by "
      "anybody"}},
    {"RouteNeverReachedOverOneListener",
     with(
         "match = { listener = \"reports\" }\n[[route]]\nname = \"b\"\ntarget = \"sql2\"\nidentity = \"svc\"\n"
         "match = { listener = \"r*\" }\n"),
     {"f:13:1: route[1]: warning: is never reached: route[0] (\"reports\") stands before it and matches all that it matches; "
      "put it first, or give it a narrower match"}},
    {"RouteNeverReached",
     with("[[route]]\nname = \"b\"\ntarget = \"sql2\"\nidentity = \"svc\"\nmatch = { database = \"x\" }\n"),
     {"f:12:1: route[1]: warning: is never reached: route[0] (\"reports\") stands before it and matches all that it "
      "matches; put it first, or give "
      "it a narrower match"}},
};
INSTANTIATE_TEST_SUITE_P(Table, LoadProblems, testing::ValuesIn(rows),
                         [](const auto &instance) { return std::string(instance.param.name); });

TEST_F(Load, ARouteIsShadowedOnlyByOneThatMatchesAllOfIt) {
  struct Pair {
    const char *first, *second;
    bool shadowed;
  };
  for (const Pair &pair : std::initializer_list<Pair>{
           {"", "", true},
           {"", "server = \"x\"", true},
           {"server = \"x\"", "", false},
           {"server = \"*\"", "", true},
           {"server = \"X\"", "server = \"x\"", true},
           {"server = \"x*\"", "server = \"xy\"", true},
           {"server = \"x*\"", "server = \"y\"", false},
           {"server = \"?\"", "server = \"*\"", false},
           {"server = \"x*\"", "server = \"x*\"", true},
           {"server = \"x\"", "server = \"x\", database = \"d\"", true},
           {"server = \"x\", database = \"d\"", "server = \"x\"", false},
           {"caller = [0]", "caller = [0]", true},
           {"caller = [0, 1]", "caller = [1]", true},
           {"caller = [0]", "caller = [0, 1]", false},
           {"caller = [0]", "", false},
           {"", "caller = [0]", true},
       }) {
    const auto table = [](const char *match) {
      return "[[route]]\ntarget = \"sql1\"\nidentity = \"svc\"\nmatch = { " + std::string(match) +
             " }\nname = ";
    };
    const auto found =
        problems(std::string(listener) + "callers = [0, 1]\n" + std::string(identity) + "allow = [0, 1]\n" +
                 table(pair.first) + "\"a\"\n" + table(pair.second) + "\"b\"\n");
    EXPECT_EQ(!found.empty(), pair.shadowed) << pair.first << " before " << pair.second;
    if (pair.shadowed) {
      EXPECT_THAT(found, ElementsAre(HasSubstr("route[1]: warning: is never reached"))) << pair.first;
    }
  }
}

TEST_F(Load, SecretsThatEverybodyCanReadAreRefused) {
  write("reports.keytab", "", fs::perms(0644));
  EXPECT_THAT(
      problems(with("")),
      ElementsAre(
          "f:6:10: identity[0].keytab: reports.keytab can be read or written by everybody on this machine; run "
          "chmod 0600 reports.keytab"));
  EXPECT_FALSE(parse(with("")).ok());
  write("reports.keytab", "", fs::perms(0640));
  EXPECT_THAT(problems(with("")), IsEmpty());
}

TEST_F(Load, TheKeyOfAListenerIsASecretToo) {
  const std::string text = with_listener("certificate = \"l.pem\"\nkey = \"l.key\"\n");
  write("l.pem", "", fs::perms(0644));
  write("l.key", "", fs::perms(0644));
  EXPECT_THAT(
      problems(text),
      ElementsAre(
          "f:5:7: listener[0].key: l.key can be read or written by everybody on this machine; run chmod "
          "0600 l.key"));
  write("l.key", "", fs::perms(0640));
  EXPECT_THAT(problems(text), IsEmpty());
}

TEST_F(Load, AKeyThatThisUserCannotReadIsWarnedOf) {
  const std::string text = with_listener("certificate = \"reports.keytab\"\nkey = \"l.key\"\n");
  write("l.key", "", fs::perms::none);
  fs::permissions(folder, fs::perms(0755));
  const bool root = ::geteuid() == 0; // who can read all
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const auto found = problems(text);
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_THAT(found, ElementsAre(AllOf(
                         testing::StartsWith("f:5:7: listener[0].key: warning: l.key cannot be read by uid "),
                         testing::EndsWith("so give it to the user who runs it"))));
}

TEST_F(Load, AStateDirectoryThatEverybodyCanWriteIsRefused) {
  const std::string text = with("[state]\ndirectory = \"state\"\n");
  EXPECT_THAT(problems(text), IsEmpty()) << "made at the first start";
  fs::create_directory(folder / "state");
  EXPECT_THAT(problems(text), IsEmpty());
  fs::permissions(folder / "state", fs::perms(0777));
  EXPECT_THAT(
      problems(text),
      ElementsAre(
          "f:13:13: state.directory: state can be written by everybody on this machine, who could put "
          "another certificate there; run chmod 0700 state"));
}

TEST_F(Load, WhereTheStateIsKept) {
  const auto directory = [this] { return parse(with("")).config.state.directory; };
  ::setenv("XDG_STATE_HOME", "/xdg", 1);
  EXPECT_EQ(directory(), "/xdg/sqlshim");
  ::setenv("STATE_DIRECTORY", "/var/lib/sqlshim:/var/lib/other", 1);
  EXPECT_EQ(directory(), "/var/lib/sqlshim");
  EXPECT_EQ(parse(with("[state]\ndirectory = \"/written\"\n")).config.state.directory, "/written");
  ::unsetenv("STATE_DIRECTORY");
  ::setenv("XDG_STATE_HOME", "relative", 1); // the specification says: ignore it
  EXPECT_EQ(directory(), folder / ".local/state/sqlshim");
  ::unsetenv("HOME"); // the user database tells
  EXPECT_TRUE(directory().is_absolute() || directory().empty()) << directory();
}

TEST_F(Load, TheEnvironmentNamesKrb5Conf) {
  ::setenv("KRB5_CONFIG", "/some/krb5.conf:/other", 1);
  EXPECT_EQ(parse(with("")).config.kerberos.config, "/some/krb5.conf:/other");
  write("a", "");
  EXPECT_EQ(parse(with("[kerberos]\nconfig = \"a:/dev/null\"\n")).config.kerberos.config,
            (folder / "a").string() + ":/dev/null");
}

TEST_F(Load, CcachesOfOtherTypesAreNames) {
  for (const char *name : {"KEYRING:persistent:0", "KCM:", "DIR:/tmp/x"}) {
    const Loaded loaded = parse(std::string(listener) + "[[identity]]\nname = \"svc\"\nccache = \"" + name +
                                "\"\n" + std::string(route));
    EXPECT_EQ(loaded.config.identities.at(0).source, name);
  }
}

TEST_F(Load, FilesThatCannotBeRead) {
  EXPECT_THAT(
      load(folder / "absent").problems.at(0).text(),
      AllOf(HasSubstr("absent: cannot be read: No such file or directory"), HasSubstr("--config FILE")));
  EXPECT_THAT(load(folder).problems.at(0).text(), HasSubstr(": is a folder; name the file"));
  const fs::path large = write("large", std::string(largest_file + 1, '#'));
  EXPECT_THAT(load(large).problems.at(0).text(), HasSubstr("large: is larger than 1048576 bytes"));
  EXPECT_FALSE(load(large).ok());
}

TEST_F(Load, AFileIsReadWhole) {
  const Loaded loaded = load(write("good.toml", with("[dns]\nservers = [\"10.0.0.9\"]\nsearch = []\n") +
                                                    std::string(largest_file / 2, '#')));
  EXPECT_TRUE(loaded.ok()) << loaded.problems[0].text();
  EXPECT_THAT(loaded.config.dns.servers, ElementsAre(Address{"10.0.0.9", 53}));
  EXPECT_THAT(loaded.config.dns.search, IsEmpty());
}

TEST_F(Load, WhichFile) {
  EXPECT_EQ(which_file(""), "/etc/sqlshim/sqlshim.toml");
  ::setenv("SQLSHIM_CONFIG", "/from/environment.toml", 1);
  EXPECT_EQ(which_file(""), "/from/environment.toml");
  EXPECT_EQ(which_file("given.toml"), "given.toml");
}

TEST(Problem, AsText) {
  Problem problem{.file = "sqlshim.toml",
                  .line = 12,
                  .column = 3,
                  .key = "route[0].tarpet",
                  .what = "unknown key",
                  .warning = false};
  EXPECT_EQ(problem.text(), "sqlshim.toml:12:3: route[0].tarpet: unknown key");
  problem.warning = true;
  EXPECT_EQ(problem.text(), "sqlshim.toml:12:3: route[0].tarpet: warning: unknown key");
  EXPECT_EQ(
      (Problem{.file = "f", .line = 0, .column = 0, .key = {}, .what = "cannot be read", .warning = false}
           .text()),
      "f: cannot be read");
}

// Nothing that a file may hold may end the process.
TEST_F(Load, OddInputIsAProblemAndNoMore) {
  for (
      const std::string &text :
      {std::string("\0", 1), std::string("\xff\xfe"), std::string("a = \"\\uD800\""), std::string(300, '['),
       "a = " + std::string(100'000, '['),
       std::string("route = 1\nlistener = \"x\"\nidentity = [1]\nlog = []\ndns = 1"),
       std::string(
           "[[route]]\nmatch = 1\ntimeouts = []\nname = 1\ntarget = 2\nidentity = []\nattempts = 1\nspn = 1.5")}) {
    const Loaded loaded = parse(text);
    EXPECT_FALSE(loaded.ok()) << text.substr(0, 20);
    EXPECT_THAT(loaded.problems, Not(IsEmpty()));
  }
}

// --- credentials of others ---

TEST_F(Load, WhereTheCallersCcacheIs) {
  const auto source = [&](std::string_view keys) {
    const auto loaded = parse(of_whom(keys));
    EXPECT_TRUE(loaded.ok()) << loaded.problems.at(0).text();
    EXPECT_EQ(loaded.config.identities.at(0).kind, IdentityKind::caller);
    EXPECT_EQ(loaded.config.identities.at(0).principal, "");
    return loaded.config.identities.at(0).source;
  };
  EXPECT_EQ(source("from = \"caller\"\n"), "/tmp/krb5cc_%{uid}");
  EXPECT_EQ(source("from = \"caller\"\nccache = \"FILE:/run/%{uid}/%{uid}\"\n"), "FILE:/run/%{uid}/%{uid}");
  EXPECT_EQ(source("from = \"caller\"\nccache = \"cc/%{uid}\"\n"), (folder / "cc/%{uid}").string());
  EXPECT_EQ(source("from = \"caller\"\nccache = \"DIR:/run/user/%{uid}/cc\"\n"), "DIR:/run/user/%{uid}/cc");
  EXPECT_FALSE(parse(of_whom("from = \"caller\"\nccache = \"/tmp/%{uid}/../cc\"\n")).ok()) << "one for all";
}

TEST_F(Load, CcachesOfOtherUsersNeedACapability) {
  const auto with_others = of_whom("from = \"caller\"\nallow = [\"self\", 4242]\n");
  const auto warnings = [&](const std::string &text, std::string_view capabilities) {
    write("status", "Name:\tsqlshim\nCapEff:\t" + std::string(capabilities) + "\n");
    std::vector<std::string> found;
    for (const auto &problem :
         config::parse(text, folder / "f", folder / "resolv.conf", folder / "status").problems)
      found.push_back(problem.key + " " + problem.what);
    return found;
  };
  EXPECT_THAT(
      warnings(with_others, "0000000000000000"),
      ElementsAre(AllOf(HasSubstr("identity[0].from uid " + std::to_string(::geteuid()) + " cannot read"),
                        HasSubstr("AmbientCapabilities=CAP_DAC_READ_SEARCH"), HasSubstr("not setcap"))));
  EXPECT_THAT(warnings(with_others, "0000000000000004"), IsEmpty());
  EXPECT_THAT(warnings(of_whom("from = \"caller\"\n"), "0000000000000000"), IsEmpty()) << "one's own";
  EXPECT_THAT(warnings(of_whom("from = \"client\"\nallow = [4242, \"self\"]\n"), "0000000000000000"),
              IsEmpty());
}

} // namespace

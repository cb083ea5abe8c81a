#include "config/show.hpp"

#include "config/load.hpp"

#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace config;
using testing::HasSubstr;

namespace fs = std::filesystem;

class Show : public testing::Test {
protected:
  Show() {
    std::string pattern = (fs::temp_directory_path() / "sqlshim-show-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    fs::create_directories(folder / "elsewhere");
    std::ofstream(folder / "resolv.conf")
        << "nameserver 10.0.0.2\nnameserver fd00::53\nsearch corp.test lab.test\noptions ndots:3\n";
    for (const char *name : {"k", "krb5.conf"}) {
      std::ofstream(folder / name) << "";
      fs::permissions(folder / name, fs::perms::owner_read);
    }
    ::unsetenv("KRB5_CONFIG");
  }
  ~Show() override { fs::remove_all(folder); }
  Loaded load(std::string_view text) const { return parse(text, folder / "f", folder / "resolv.conf"); }

  /// What `text` says must be what its `show` says, read where there is another resolv.conf, in another
  /// folder and another environment.
  std::string round_trip(std::string_view text) const {
    const Loaded first = load(text);
    EXPECT_TRUE(first.ok()) << first.problems.at(0).text();
    const std::string shown = show(first.config, 1000);
    Loaded second = parse(shown, folder / "elsewhere/g", "/dev/null");
    EXPECT_TRUE(second.ok()) << second.problems.at(0).text() << "\n" << shown;
    second.config.file = first.config.file;
    EXPECT_EQ(first.config, second.config) << shown;
    EXPECT_EQ(show(second.config, 1000), shown);
    return shown;
  }

  fs::path folder;
};

TEST_F(Show, DomainAccountsStayAsWritten) {
  const std::string shown = round_trip("[domains]\nCORP = \"CORP.TEST\"\n"
                                       "[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:14330\"\n"
                                       "[[identity]]\nname = \"i\"\nkeytab = \"k\"\nprincipal = 'corp\\svc'\n"
                                       "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nidentity = \"i\"\n");
  EXPECT_THAT(shown, HasSubstr("principal = \"corp\\\\svc\"  # svc@CORP.TEST, by [domains]\n"));
}

TEST_F(Show, AliasesAndTheNameOfADriver) {
  const std::string shown =
      round_trip("[aliases]\n\"Web.corp.test\" = 'sql1'\nfreetds_conf = \"/dev/null\"\n"
                 "[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:14330\"\n"
                 "[[identity]]\nname = \"i\"\nkeytab = \"k\"\nprincipal = \"svc@CORP.TEST\"\n"
                 "[[route]]\nname = \"r\"\ntarget = \"web.corp.test\"\nidentity = \"i\"\n"
                 "names = [\"driver:freetds\"]\n");
  EXPECT_THAT(shown, HasSubstr("[aliases]\nfreetds_conf = [\"/dev/null\"]\n\"web.corp.test\" = \"sql1\"\n"));
  EXPECT_THAT(shown, HasSubstr("names = \"driver:freetds\"\n"));
}

TEST_F(Show, DefaultsAreWrittenOut) {
  const std::string shown =
      round_trip("[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:14330\"\n"
                 "[[identity]]\nname = \"i\"\nkeytab = \"k\"\nprincipal = \"p@A.TEST\"\n"
                 "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nidentity = \"i\"\n");
  for (
      const std::string &line : {
          "[state]\ndirectory = \"" + load("").config.state.directory.string() + "\"\n",
          "decisions = \"" + (folder / "decisions.jsonl").string() + "\"\nlevel = \"info\"\n",
          std::string(
              "[limits]\nhandshakes = 64\nhandshakes_per_uid = 16\nconnections = 4096\naddresses = 64\ndrain = \"30s\"\n"
              "client_login = \"10s\"\n"),
          std::string(
              "servers = [\"10.0.0.2:53\", \"[fd00::53]:53\"]\nsearch = [\"corp.test\", \"lab.test\"]\nndots = 3\n"
              "hosts = \"/etc/hosts\"\nresolver = \"own\"\nfailures = \"5s\"\n"),
          std::string("[kerberos]\nconfig = \"/etc/krb5.conf\"\nrefusals = \"5s\"\n\n[state]\n"),
          std::string(
              "callers = [\"self\"]  # self: uid 1000\nclient_auth = \"any\"\nversion = \"16.0.0.0\"\n"
              "tls = \"optional\"\ncertificate = \"\"\nkey = \"\"\n"),
          "keytab = \"" + (folder / "k").string() + "\"\nprincipal = \"p@A.TEST\"\n",
          std::string(
              "attempts = [\"tcp+kerberos\"]\nfallback_on = []\nfallback = \"on\"\nencrypt = \"require\"\nca_file = \"\"\nhost_name_in_certificate = \"\"\n"
              "trust_server_certificate = false\ntls_min = \"1.2\"\nredirect_within = []\nnames = [\"forward\"]\n"
              "canonical_within = []\nspn = \"\"\nspn_order = [\"explicit\", \"port\", \"instance\", \"bare\", \"typed\"]\n"
              "realm_order = [\"explicit\", \"domain-realm\", \"srv\", \"referral\", \"default\"]\n"
              "mutual_auth = \"required\"\n"
              "unprotected = \"refuse\"\nmulti_subnet = false\nfailover_partner = \"\"\n"
              "timeouts = { connect = \"5s\", dns = \"2s\", kdc = \"2s\", login = \"15s\", idle = \"0s\" }\n"),
      })
    EXPECT_THAT(shown, HasSubstr(line));
}

TEST_F(Show, EveryKeyComesBack) {
  const std::string shown = round_trip(
      "[log]\ndecisions = \"-\"\nlevel = \"trace\"\n"
      "[limits]\nhandshakes = 3\nhandshakes_per_uid = 2\nconnections = 5\naddresses = 6\ndrain = \"90s\"\nclient_login = \"400ms\"\n"
      "[dns]\nservers = [\"127.81.3.2:5353\", \"::1\"]\nsearch = []\nndots = 0\nfailures = \"0s\"\n"
      "hosts = \"\"\nresolver = \"system\"\n"
      "[kerberos]\nconfig = \"krb5.conf:/dev/null\"\nrefusals = \"1500ms\"\n"
      "[state]\ndirectory = \"kept here\"\n"
      "[domains]\nCORP = \"CORP.TEST\"\n\"LAB&CO\" = \"LAB.TEST\"\n"
      "[browser]\naddress = \"::1\"\ninstances = { inst = \"six\", \"A$\" = \"six\" }\n"
      "[[listener]]\nname = \"l\"\nunix = \"run/l \\u00e4\\\".sock\"\nmode = \"0660\"\ncallers = [\"root\", 7, \"@root\"]\n"
      "client_auth = \"sql\"\nversion = \"15.0.2000\"\ntls = \"required\"\ncertificate = \"k\"\nkey = \"krb5.conf\"\n"
      "[[listener]]\nname = \"both\"\naddress = \"localhost:14331\"\n"
      "[[listener]]\nname = \"six\"\naddress = \"[0:0::1]:0\"\nclient_auth = \"integrated\"\ntls = \"off\"\n"
      "[[identity]]\nname = \"c\"\nccache = \"FILE:k\"\nallow = [\"root\", \"@root\"]\n"
      "[[identity]]\nname = \"e\"\nccache = \"KEYRING:session:x\"\n"
      "[[identity]]\nname = \"p\"\npassword_file = \"k\"\nprincipal = \"p@A.TEST\"\n"
      "[[identity]]\nname = \"own\"\nfrom = \"client\"\n"
      "[[identity]]\nname = \"u\"\nfrom = \"caller\"\n"
      "[[identity]]\nname = \"v\"\nfrom = \"caller\"\nccache = \"FILE:cc/%{uid}\"\n"
      "[[route]]\nname = \"r\"\ntarget = 'sql1\\INST,1444'\nidentity = \"c\"\nattempts = [\"tcp+kerberos\", \"tcp+sql\"]\n"
      "fallback_on = [\"spn-missing\", \"kdc-unreachable\"]\nfallback = \"audit\"\nmulti_subnet = true\nfailover_partner = 'sql2\\INST'\n"
      "encrypt = \"login\"\nca_file = \"k\"\nhost_name_in_certificate = \"other.corp.test\"\ntrust_server_certificate = true\n"
      "tls_min = \"1.0\"\nredirect_within = [\"a.test\", \"b.test\"]\n"
      "names = [\"map\", \"forward-reverse\", \"as-typed\"]\nmap = [{ from = \"Sql?\", to = \"x.\" }, { from = '*', to = \"y\" }]\n"
      "canonical_within = [\"corp.test\"]\nspn_order = [\"reverse\", \"explicit\"]\nrealm_order = [\"default\"]\n"
      "spn = \"MSSQLSvc/x:1444@A.TEST\"\nmutual_auth = \"or-verified-tls\"\nunprotected = \"accept\"\n"
      "match = { listener = \"l\", server = \"s\\t*\", database = \"d\", user = 'D\\u', app = \"a?\", caller = [\"@root\", 7] }\n"
      "timeouts = { connect = \"1s\", dns = \"200ms\", kdc = \"3s\", login = \"1h\", idle = \"2m\" }\n"
      "[[route]]\nname = \"s\"\ntarget = \"[::1]:1433\"\nattempts = [\"tcp+sql\"]\nunprotected = \"accept\"\n"
      "encrypt = \"off\"\n"
      "[[route]]\nname = \"t\"\ntarget = \"sql2\"\nidentity = \"c\"\nmatch = { listener = \"six\" }\nencrypt = \"strict\"\n");
  for (const char *line :
       {"callers = [\"root\", \"7\", \"@root\"]  # root: uid 0, @root: gid 0\n", "address = \"[::1]:0\"\n",
        "drain = \"90s\"\n", "refusals = \"1500ms\"\n", "hosts = \"\"\nresolver = \"system\"\n",
        "timeouts = { connect = \"1s\", dns = \"200ms\", kdc = \"3s\", "
        "login = \"1h\", idle = \"2m\" }\n",
        "\"LAB&CO\" = \"LAB.TEST\"\n", "ccache = \"KEYRING:session:x\"\n", "from = \"client\"\n\n",
        "from = \"caller\"\nccache = \"/tmp/krb5cc_%{uid}\"\n", "/cc/%{uid}\"\n", "encrypt = \"off\"\n",
        "encrypt = \"strict\"\n", "tls = \"required\"\n",
        "multi_subnet = true\nfailover_partner = \"sql2\\\\INST\"\n",
        "[browser]\naddress = \"[::1]:1434\"\ninstances = { \"A$\" = \"six\", \"INST\" = \"six\" }\n",
        "fallback_on = [\"spn-missing\", \"kdc-unreachable\"]\nfallback = \"audit\"\n",
        "tls_min = \"1.0\"\nredirect_within = [\"a.test\", \"b.test\"]\n",
        "names = [\"map\", \"forward-reverse\", \"as-typed\"]\n"
        "map = [{ from = \"sql?\", to = \"x\" }, { from = \"*\", to = \"y\" }]\n"})
    EXPECT_THAT(shown, HasSubstr(line));
}

TEST_F(Show, APathFromTheEnvironmentIsMadeAbsolute) {
  ::setenv("KRB5_CONFIG", "some/krb5.conf:/other", 1);
  const std::string shown = round_trip(
      "[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:0\"\n"
      "[[route]]\nname = \"s\"\ntarget = \"x\"\nattempts = [\"tcp+sql\"]\nunprotected = \"accept\"\n");
  ::unsetenv("KRB5_CONFIG");
  EXPECT_THAT(shown,
              HasSubstr("config = \"" + (fs::current_path() / "some/krb5.conf").string() + ":/other\"\n"));
}

} // namespace

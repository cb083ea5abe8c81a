// Files as administrators write them, read by us and by tsql: both must go to the same place. (tsql's own
// log, TDSDUMP, says where it connects.)
#include "auth/freetds_conf.hpp"

#include "tools/lab/process.hpp"

#include <gmock/gmock.h>

namespace {

using namespace testing;

struct Case {
  std::string name;     ///< that tsql is asked for
  std::string first;    ///< the file that FREETDSCONF names
  std::string second{}; ///< the one below FREETDS
};

const Case cases[] = {
    {"web", "[web]\nhost = 127.0.0.9\nport = 1500\n"},
    {"web", "[web]\n\thost\t=\t127.0.0.9\n  port=1501"},
    {"WEB", "[web]\nhost = 127.0.0.9\nport = 1502\n"},
    {"web", "[WeB]\nHOST = 127.0.0.9\nPort = 1503\n"},
    {"web", "[web]\nhost = 127.0.0.9 # the old one\nport = 1504 ; really\n"},
    {"web", "[global]\nport = 1505\n[web]\nhost = 127.0.0.9\n"},
    {"web", "[web]\nhost = 127.0.0.9\n[global]\nport = 1506\n"},
    {"web", "[web]\nhost = 127.0.0.9\nport = 1507\n[web]\nport = 1508\n"},
    {"web", "[web]\nhost = 127.0.0.8\nhost = 127.0.0.9\nport = 1509\n"},
    {"web", "# [web]\n; host = 127.0.0.1\n[web]\n;port = 1\nhost = 127.0.0.9\nport = 1510\n"},
    {"web", "[web]\nhost = 127.0.0.9\nport = 1511x\n"},
    {"web", "[web]\nhost = 127.0.0.9\ninstance = INST\nport = 1512\n"},
    {"my web", "[my   web]\nhost = 127.0.0.9\nport = 1513\n"},
    {"web", "[other]\nhost = 127.0.0.8\nport = 1\n[web]\nhost = 127.0.0.9\nport = 1514\n[third]\nport = 2\n"},
    {"web", "[web] # here\nhost = 127.0.0.9\nport = 1515\n"},
    {"web", "  [web]\nhost = 127.0.0.9\nport = 1516\n"},
    {"web", "[web]\r\nhost = 127.0.0.9\r\nport = 1517\r\n"},
    {"web", "[other]\nhost = 127.0.0.8\n", "[web]\nhost = 127.0.0.9\nport = 1518\n"},
    {"web", "[global]\nport = 1519\n", "[web]\nhost = 127.0.0.9\n"},
    {"web", "[web]\nhost = 127.0.0.9\nport = 1520\n", "[web]\nhost = 127.0.0.8\nport = 2\n"},
    {"web", "[web\nhost = 127.0.0.9\nport = 1521\n"},
    {"web", "[web]\nhost = 127.0.0.9\nnonsense\n= 5\nport = 1522\n"},
    {"web", "[web]\nhost = 127.0.0.9\n" + std::string(300, '#') + "\nport = 1523\n"},
    {"web", "[web]\nhost = 127.0.0.9\n" + std::string(255, 'x') + "port = 1524\n"},
};

/// "127.0.0.9,1500", from "Connecting to 127.0.0.9 port 1500"; empty: it connected nowhere.
std::string where_tsql_goes(const Case &one, const lab::fs::path &folder) {
  lab::fs::create_directories(folder / "etc");
  lab::write_file(folder / "first.conf", one.first);
  lab::write_file(folder / "etc/freetds.conf", one.second);
  lab::write_file(folder / "dump", "");
  lab::run({.argv = {"tsql", "-S", one.name, "-U", "x", "-P", "y"},
            .environment = {{"FREETDSCONF", (folder / "first.conf").string()},
                            {"FREETDS", folder.string()},
                            {"TDSDUMP", (folder / "dump").string()},
                            {"TDSPORT", ""}}});
  const auto log = lab::read_file(folder / "dump");
  constexpr std::string_view before = "Connecting to ", between = " port ";
  const auto at = log.find(before);
  if (at == log.npos) return {};
  const auto line = log.substr(at + before.size(), log.find('\n', at) - at - before.size());
  const auto port = line.find(between);
  return line.substr(0, port) + "," + std::to_string(std::stoi(line.substr(port + between.size())));
}

TEST(FreetdsConf, TsqlGoesWhereWeSay) {
  const lab::TemporaryFolder folder;
  int compared = 0;
  for (const auto &one : cases) {
    const std::vector<std::string> texts{one.first, one.second};
    const auto ours = auth::find_freetds_server(texts, one.name);
    ASSERT_TRUE(ours) << one.first;
    EXPECT_EQ(where_tsql_goes(one, folder.path()), ours->target()) << one.first << "\n--\n" << one.second;
    ++compared;
  }
  std::cout << "freetds.conf: " << compared << " files compared with tsql\n";
  EXPECT_GE(compared, 20);
}

} // namespace

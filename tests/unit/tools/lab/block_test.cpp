#include "tools/lab/black_hole.hpp"
#include "tools/lab/block.hpp"
#include "tools/lab/process.hpp"

#include <arpa/inet.h>
#include <csignal>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lab {
namespace {

TEST(Block, two_labs_never_share_addresses) {
  const TemporaryFolder folder;
  std::vector<std::unique_ptr<Block>> blocks;
  std::set<std::string> names;
  for (int number = 0; number < 40; ++number) {
    blocks.push_back(std::make_unique<Block>(folder.path() / "locks"));
    EXPECT_TRUE(names.insert(blocks.back()->text()).second) << blocks.back()->text();
  }
}

TEST(Block, its_addresses_are_loopback_and_differ) {
  const TemporaryFolder folder;
  const Block block(folder.path() / "locks");
  EXPECT_TRUE(block.kdc().starts_with("127."));
  EXPECT_EQ((std::set{block.kdc(), block.dns(), block.server(0), block.server(1)}.size()), 4u);
}

TEST(Block, the_folder_of_locks_is_for_every_user) {
  const TemporaryFolder folder;
  const auto old = ::umask(077);
  const Block block(folder.path() / "locks");
  ::umask(old);
  struct stat facts {};
  ASSERT_EQ(::stat((folder.path() / "locks").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 01777u);
  for (const auto &lock : fs::directory_iterator(folder.path() / "locks"))
    EXPECT_EQ(lock.status().permissions() & fs::perms(0444), fs::perms(0444)) << lock.path();
}

TEST(Block, a_symbolic_link_for_a_folder_is_refused) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "elsewhere");
  fs::create_directory_symlink("elsewhere", folder.path() / "locks");
  EXPECT_THROW(Block(folder.path() / "locks"), LabError);
}

TEST(BlackHole, a_connection_neither_succeeds_nor_fails) {
  const TemporaryFolder folder;
  const Block block(folder.path() / "locks");
  const BlackHole hole(block.server(0), 1433);
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(1433);
  ::inet_pton(AF_INET, block.server(0).c_str(), &place.sin_addr);
  ::connect(probe, reinterpret_cast<const sockaddr *>(&place), sizeof place);
  pollfd ready{probe, POLLOUT, 0};
  EXPECT_EQ(::poll(&ready, 1, 300), 0);
  ::close(probe);
}

TEST(Process, its_status_and_its_output_are_known) {
  const auto done = run({.argv = {"sh", "-c", "echo out; echo err >&2; exit 7"}});
  EXPECT_EQ(done.status, 7);
  EXPECT_EQ(done.output, "out\nerr\n");
}

TEST(Process, reads_what_it_is_given) { EXPECT_EQ(run({.argv = {"cat"}}, "given").output, "given"); }

TEST(Process, an_empty_value_removes_a_variable) {
  EXPECT_EQ(run({.argv = {"sh", "-c", "echo ${PATH_OF_TEST-absent} ${OTHER_OF_TEST-absent}"},
                 .environment = {{"PATH_OF_TEST", ""}, {"OTHER_OF_TEST", "x"}}})
                .output,
            "absent x\n");
}

TEST(Process, one_that_ignores_sigterm_is_killed) {
  const TemporaryFolder folder;
  Process stubborn({.argv = {"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"},
                    .output = folder.path() / "out"});
  stubborn.wait_for_line("ready");
  stubborn.stop(50ms);
  EXPECT_EQ(stubborn.status(), 128 + SIGKILL);
}

TEST(Process, a_program_that_ends_early_is_reported_with_its_last_words) {
  const TemporaryFolder folder;
  Process brief({.argv = {"sh", "-c", "echo the reason; exit 3"}, .output = folder.path() / "out"});
  try {
    brief.wait_for_line("listening ");
    FAIL() << "no error";
  } catch (const LabError &error) {
    EXPECT_THAT(error.what(),
                ::testing::AllOf(::testing::HasSubstr("status 3"), ::testing::HasSubstr("the reason")));
  }
}

TEST(Process, a_missing_program_names_its_package) {
  const TemporaryFolder folder;
  try {
    Process absent({.argv = {"no-such-program-here"}});
    FAIL() << "no error";
  } catch (const LabError &error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("not installed"));
  }
}

TEST(Process, nothing_outlives_a_killed_parent) {
  const TemporaryFolder folder;
  const auto pid_file = folder.path() / "pid";
  const pid_t parent = ::fork();
  if (parent == 0) {
    Process child({.argv = {"sleep", "1000"}});
    write_file(pid_file, std::to_string(child.pid()) + "\n");
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_GT(parent, 0);
  ::waitpid(parent, nullptr, 0);
  const auto pid = std::stoi(read_file(pid_file));
  // A zombie until its new parent looks, which some containers never do: gone is who runs no more.
  EXPECT_TRUE(eventually([&] {
    const auto state = read_file("/proc/" + std::to_string(pid) + "/stat");
    return state.empty() || state.substr(state.rfind(')') + 2, 1) == "Z";
  }));
}

} // namespace
} // namespace lab

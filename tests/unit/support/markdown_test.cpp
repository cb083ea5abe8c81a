#include "tests/support/markdown.hpp"

#include "tools/lab/files.hpp"

#include <gmock/gmock.h>

namespace test {
namespace {

using namespace testing;

TEST(Markdown, Split) {
  EXPECT_THAT(split("", ", "), ElementsAre(""));
  EXPECT_THAT(split("a, b,c, ", ", "), ElementsAre("a", "b,c", ""));
}

TEST(Markdown, TheTableOfAHeadingByTheNamesInItsRows) {
  const lab::TemporaryFolder folder;
  const auto file = folder.path() / "README.md";
  lab::write_file(file,
                  "| name | other |\n|---|---|\n| x | 1 |\n\n"
                  "| name | age | |\n|---|---|---|\n| `a`, `b` | 2 | of both |\n| c | 3 | |\n\n| d | 4 |\n");
  EXPECT_THAT(markdown_table(file, "| name | age |"),
              ElementsAre(Pair("`a`", ElementsAre("2", "of both")), Pair("`b`", ElementsAre("2", "of both")),
                          Pair("c", ElementsAre("3"))));
  EXPECT_THAT(markdown_table(file, "| nobody |"), IsEmpty());
  EXPECT_THAT(markdown_table(folder.path() / "absent", "| name |"), IsEmpty());
}

} // namespace
} // namespace test

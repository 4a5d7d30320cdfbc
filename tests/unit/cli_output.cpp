// Tables that commands print.
#include <gtest/gtest.h>

#include "diffapple/cli/output.h"

namespace diffapple {
namespace {

TEST(Output, TablesCountCharacters) {
    EXPECT_EQ(format_table({{"a", "b"}, {"\xc3\xa4xy", "c"}}), "a    b\n\xc3\xa4xy  c");
}

TEST(Output, TablesFitWhatTheyShow) {
    EXPECT_EQ(format_table({{"a\x1b", "b"}, {"x", "c"}}), "a\\x1b  b\nx      c");
}

}  // namespace
}  // namespace diffapple

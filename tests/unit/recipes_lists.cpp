// Lists on the command line, and what is printed.
#include <gtest/gtest.h>

#include "diffapple/core/error.h"
#include "diffapple/recipes/lists.h"

namespace diffapple {
namespace {

using Values = std::vector<int64_t>;

Values parse(const std::string& text) {
    return parse_integers("--seed", text, 0, INT64_MAX);
}

TEST(Lists, IntegersAndRanges) {
    EXPECT_EQ(parse("7"), (Values{7}));
    EXPECT_EQ(parse("0,2,4,8"), (Values{0, 2, 4, 8}));
    EXPECT_EQ(parse("0..3"), (Values{0, 1, 2, 3}));
    EXPECT_EQ(parse("5,0..2,1"), (Values{5, 0, 1, 2}));  // each once
    EXPECT_EQ(parse(" 4, 0..1 ,3 "), (Values{4, 0, 1, 3}));
    EXPECT_EQ(parse("9223372036854775806..9223372036854775807").size(), 2U);
}

TEST(Lists, AnythingElseIsAUsageError) {
    for (const char* text : {"", " ", ",", "1,", ",1", "1 .. 3", "a", "1.5", "-1", "3..1", "1..", "..3", "1...3", "1 2",
                             "+1", "0x10", "99999999999999999999", "0..99999999"}) {
        try {
            parse(text);
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::usage) << text;
        }
    }
}

TEST(Lists, Choices) {
    EXPECT_EQ(parse_choices("--scheduler", "b,a,b", {"a", "b"}), (std::vector<std::string>{"b", "a"}));
    EXPECT_THROW(parse_choices("--scheduler", "c", {"a", "b"}), Error);
}

}  // namespace
}  // namespace diffapple

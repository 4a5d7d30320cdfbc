// Lists on the command line, and what is printed.
#include <gtest/gtest.h>

#include <functional>

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

TEST(Lists, AnErrorIsOneLineWhateverTheListHolds) {
    const auto same = [](const std::string& option, const std::string& text) {
        return with_drawn_seeds(option, text, [] { return 0; });
    };
    for (const std::string text : {"1,\n2x", "a\rb", "random:\n9", "1..\x1b[2J"}) {
        const std::vector<std::function<void()>> parsers{
            [&] { parse(text); }, [&] { parse_seeds("--seed", same("--seed", text)); },
            [&] { parse_numbers("--guidance", text, 0, 10); }, [&] { parse_choices("--dtypes", text, {"fp32"}); }};
        for (const auto& parser : parsers) {
            try {
                parser();
                ADD_FAILURE() << text;
            } catch (const Error& error) {
                const std::string message = error.what();
                EXPECT_EQ(message.find_first_of("\n\r\x1b"), std::string::npos) << message;
            }
        }
    }
}

TEST(Lists, SeedsHaveAll64Bits) {
    using Seeds = std::vector<uint64_t>;
    EXPECT_EQ(parse_seeds("--seed", "9223372036854775807..9223372036854775809,0"),
              (Seeds{(1ULL << 63) - 1, 1ULL << 63, (1ULL << 63) + 1, 0}));
    EXPECT_EQ(parse_seeds("--seed", "18446744073709551614..18446744073709551615"), (Seeds{UINT64_MAX - 1, UINT64_MAX}));
    for (const char* text : {"18446744073709551616", "-2", "0..18446744073709551615", "-1..3", "-9223372036854775808"})
        EXPECT_THROW(parse_seeds("--seed", text), Error) << text;
}

TEST(Lists, DrawnSeedsStandWhereTheyWereAskedFor) {
    const auto drawn = [](const std::string& text) {
        return with_drawn_seeds("--seed", text, [next = uint64_t{100}]() mutable { return next++ / 2; });
    };
    EXPECT_EQ(drawn("7,0..2"), "7,0..2");
    EXPECT_EQ(drawn("random"), "50");
    EXPECT_EQ(drawn("-1"), "50");
    EXPECT_EQ(drawn("7,random:3,8..9, -1"), "7,50,51,52,8..9,53");  // different ones
    for (const char* text : {"random:", "random:0", "random:-1", "random:x", "random:100001", "random:1..2"})
        EXPECT_THROW(drawn(text), Error) << text;
    for (const char* text : {"Random", "random4", "random..3"})  // are left for parse_seeds to refuse
        EXPECT_THROW(parse_seeds("--seed", drawn(text)), Error) << text;
}

TEST(Lists, Choices) {
    EXPECT_EQ(parse_choices("--scheduler", "b,a,b", {"a", "b"}), (std::vector<std::string>{"b", "a"}));
    EXPECT_THROW(parse_choices("--scheduler", "c", {"a", "b"}), Error);
}

}  // namespace
}  // namespace diffapple

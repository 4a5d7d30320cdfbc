// UTF-8 of any bytes.
#include <gtest/gtest.h>

#include <array>

#include "diffapple/core/error.h"
#include "diffapple/core/utf8.h"

namespace diffapple {
namespace {

const std::string replacement = "\xef\xbf\xbd";

std::string replacements(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += replacement;
    return text;
}

struct Malformed {
    std::string_view bytes;
    int replacements;  ///< as Python's bytes.decode("utf-8", "replace") makes them
};

constexpr std::array<Malformed, 14> malformed_texts = {{{"\xff\xc3", 2},
                                                        {"\x80\xbf", 2},
                                                        {"\xc0\x80", 2},      // overlong
                                                        {"\xe0\x80\x80", 3},  // overlong
                                                        {"\xf0\x8f\x80\x80", 4},
                                                        {"\xed\xa0\x80", 3},      // a surrogate
                                                        {"\xf4\x90\x80\x80", 4},  // above U+10FFFF
                                                        {"\xf5\x80\x80\x80", 4},
                                                        {"\xc3", 1},  // cut off
                                                        {"\xe7\x8c", 1},
                                                        {"\xf0\x9f\x98", 1},
                                                        {"\xf0\x9f", 1},
                                                        {"\xf0\x9f\x98\xf0\x9f\x98", 2},
                                                        {"\xe7\x8c\xff\xe7", 3}}};

TEST(Utf8, LongestPrefixesOfCharactersAreReplaced) {
    for (const auto& [bytes, count] : malformed_texts) {
        const std::string text = concat('a', bytes, "b\u00e4");
        EXPECT_FALSE(is_utf8(text)) << testing::PrintToString(text);
        const std::string expected = concat('a', replacements(count), "b\u00e4");
        EXPECT_EQ(valid_utf8(text), expected) << testing::PrintToString(text);
        EXPECT_EQ(decode_utf8(text), decode_utf8(expected)) << testing::PrintToString(text);
        EXPECT_EQ(count_characters(text), 3U + static_cast<size_t>(count));
    }
}

TEST(Utf8, CharactersOfAllLengthsGoBothWays) {
    const std::string bytes = "a\u00e4\u732b\U0001f600\u07ff\u0800\U0000d7ff\ue000\uffff\U0010ffff";
    const std::u32string code_points = U"a\u00e4\u732b\U0001f600\u07ff\u0800\U0000d7ff\ue000\uffff\U0010ffff";
    EXPECT_TRUE(is_utf8(bytes));
    EXPECT_EQ(valid_utf8(bytes), bytes);
    EXPECT_EQ(decode_utf8(bytes), code_points);
    EXPECT_EQ(encode_utf8(code_points), bytes);
    EXPECT_EQ(count_characters(bytes), code_points.size());
    EXPECT_EQ(decode_utf8(std::string("a\0b", 3)), std::u32string(U"a\0b", 3));
}

TEST(Utf8, WhatIsNoCodePointIsReplaced) {
    EXPECT_EQ(encode_utf8(std::u32string{0x110000, 0xd800, 0xffffffff}), replacements(3));
}

TEST(Utf8, Latin1) {
    EXPECT_EQ(latin1_to_utf8("a\xe4\x7f\x80\xff"), "a\u00e4\u007f\u0080\u00ff");
}

TEST(Utf8, FirstAndLastCharacter) {
    const std::string text = "\U0001f600\u00e4";
    EXPECT_EQ(first_character(text).code_point, U'\U0001f600');
    EXPECT_EQ(first_character(text).bytes, 4U);
    EXPECT_EQ(last_character(text).code_point, U'\u00e4');
    EXPECT_EQ(last_character(text).bytes, 2U);
    EXPECT_EQ(last_character("a").bytes, 1U);
    EXPECT_TRUE(first_character("\xe7\x8cx").malformed);
    EXPECT_EQ(first_character("\xe7\x8cx").bytes, 2U);
}

TEST(Utf8, IsCutBetweenCharacters) {
    EXPECT_EQ(cut_utf8("a\u00e4b", 9), "a\u00e4b");
    EXPECT_EQ(cut_utf8("a\u00e4b", 3), "a\u00e4");
    EXPECT_EQ(cut_utf8("a\u00e4b", 2), "a");
    EXPECT_EQ(cut_utf8("\u00e4", 1), "");
    EXPECT_EQ(cut_utf8("", 1), "");
}

}  // namespace
}  // namespace diffapple

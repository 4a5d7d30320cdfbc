// How prompts with weights are taken apart. What is made of the parts is compared with compel in
// tests/python/test_prompt_syntax.py.
#include <gtest/gtest.h>

#include "diffapple/core/error.h"
#include "diffapple/text/weighted_prompt.h"
#include "diffapple/text/weighted_tokens.h"
#include "io_support.h"
#include "text_samples.h"

namespace diffapple {
namespace {

using Parts = std::vector<WeightedPart>;

constexpr double up = 1.1, down = 1 / 1.1;

WeightedPart only_part(const std::string& prompt) {
    const auto parts = parse_weighted_prompt(prompt);
    EXPECT_EQ(parts.size(), 1U) << prompt;
    return parts.front();
}

}  // namespace

// The examples in the docstring of A1111's parse_prompt_attention, where no bracket lacks its counterpart.
TEST(WeightedPrompt, ReadsWhatWebUisWrite) {
    EXPECT_EQ(only_part("normal text"), (WeightedPart{{"normal text", 1}}));
    EXPECT_EQ(only_part("an (important) word"), (WeightedPart{{"an", 1}, {"important", up}, {"word", 1}}));
    EXPECT_EQ(only_part("(unnecessary)(parens)"), (WeightedPart{{"unnecessary parens", up}}));
    EXPECT_EQ(only_part("\\(literal\\]"), (WeightedPart{{"(literal]", 1}}));
    const auto nested = only_part("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))))");
    ASSERT_EQ(nested.size(), 7U);
    const std::vector<std::string> texts{"a", "house", "on", "a", "hill", ", sun,", "sky"};
    const std::vector<double> weights{1, 1.573, 1, 1.1, 0.55, 1.1, 1.4641};
    for (size_t i = 0; i < nested.size(); ++i) {
        EXPECT_EQ(nested[i].text, texts[i]);
        EXPECT_NEAR(nested[i].weight, weights[i], 1e-9) << texts[i];
    }
}

TEST(WeightedPrompt, TellsWeightsFromText) {
    EXPECT_EQ(only_part("[dog]"), (WeightedPart{{"dog", down}}));
    EXPECT_EQ(only_part("(cat: 1.3 )"), (WeightedPart{{"cat", 1.3}}));
    EXPECT_EQ(only_part("(cat:+.5)"), (WeightedPart{{"cat", 0.5}}));
    EXPECT_EQ(only_part("(cat:0)"), (WeightedPart{{"cat", 0}}));
    EXPECT_EQ(only_part("(Spider-Man: Homecoming)"), (WeightedPart{{"Spider-Man: Homecoming", up}}));
    EXPECT_EQ(only_part("(a:3d model)"), (WeightedPart{{"a:3d model", up}}));
    EXPECT_EQ(only_part("(a: b:2)"), (WeightedPart{{"a: b", 2}}));
    EXPECT_EQ(only_part("16:9 a|b {c}"), (WeightedPart{{"16:9 a|b {c}", 1}}));
    EXPECT_EQ(only_part("(猫:1.3)、犬"), (WeightedPart{{"猫", 1.3}, {"、犬", 1}}));
    EXPECT_EQ(only_part("a\\\\b\\c"), (WeightedPart{{"a\\bc", 1}}));
    EXPECT_EQ(only_part("a () [ ] b"), (WeightedPart{{"a b", 1}}));
    EXPECT_EQ(only_part(""), WeightedPart{});
}

TEST(WeightedPrompt, BreakEndsAPart) {
    EXPECT_EQ(parse_weighted_prompt("a cat BREAK a dog"), (Parts{{{"a cat", 1}}, {{"a dog", 1}}}));
    EXPECT_EQ(parse_weighted_prompt("(a BREAK b:2)"), (Parts{{{"a", 2}}, {{"b", 2}}}));
    EXPECT_EQ(parse_weighted_prompt("a,BREAK,b"), (Parts{{{"a,", 1}}, {{",b", 1}}}));
    EXPECT_EQ(parse_weighted_prompt("BREAK BREAK a BREAK"), (Parts{{{"a", 1}}}));
    EXPECT_EQ(parse_weighted_prompt("BREAK"), Parts{{}});
    EXPECT_EQ(parse_weighted_prompt("BREAKFAST éBREAK break"), (Parts{{{"BREAKFAST éBREAK break", 1}}}));
    EXPECT_EQ(without_weights(parse_weighted_prompt("a (b:2) BREAK [c]")), "a b c");
}

TEST(WeightedPrompt, NamesWhatCannotBeMeant) {
    EXPECT_ERROR(parse_weighted_prompt("a (cat"), "'(' at character 3 is not closed");
    EXPECT_ERROR(parse_weighted_prompt("猫 :)"), "')' at character 4 closes nothing; write \\)");
    EXPECT_ERROR(parse_weighted_prompt("([cat)]"), "')' at character 6 closes nothing");
    EXPECT_ERROR(parse_weighted_prompt("(cat:1,3)"), "the weight '1,3'");
    EXPECT_ERROR(parse_weighted_prompt("(cat:1.2.3)"), "the weight '1.2.3'");
    EXPECT_ERROR(parse_weighted_prompt("(cat:-1)"), "from 0 to 10");
    EXPECT_ERROR(parse_weighted_prompt("(cat:10.5)"), "from 0 to 10");
    EXPECT_ERROR(parse_weighted_prompt("((cat:6):6)"), "more than 10");
    EXPECT_ERROR(parse_weighted_prompt(std::string(30, '(') + "cat" + std::string(30, ')')), "more than 10");
    EXPECT_ERROR(parse_weighted_prompt("[cat:dog:0.5]"), "changes while sampling");
    EXPECT_ERROR(parse_weighted_prompt("[cat|dog]"), "changes while sampling");
    EXPECT_ERROR(parse_weighted_prompt("a <lora:toy:1>"), "<lora:toy:1>");
}

/// Of the small tokenizer, six tokens are read at a time: four of them text.
class WeightedTokensTest : public testing::Test {
protected:
    WeightedTokensTest() {
        for (const auto& [file, text] : small_tokenizer_files) folder_.write(file, text);
    }
    WeightedTokens tokens(const std::string& prompt) const {
        return tokenize(ClipTokenizer::from_folder(folder_.path()), only_part(prompt));
    }

    TemporaryFolder folder_;
};

TEST_F(WeightedTokensTest, FillsChunksByWords) {
    const auto result = tokens("abc a (b c:2) ab");
    EXPECT_EQ(result.ids, (std::vector<int64_t>{19, 16, 5, 6, 7, 20, 19, 0, 6, 20, 10, 10}));
    EXPECT_EQ(result.weights, (std::vector<float>{1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1}));
    ASSERT_EQ(result.texts.size(), 3U);
    EXPECT_EQ(result.texts[1].first, 3U);
    EXPECT_EQ(result.texts[1].last, 4U);
    // "aab" is 0 0 6: with it, the first chunk would be cut inside a word.
    EXPECT_EQ(tokens("a b aab").ids, (std::vector<int64_t>{19, 5, 6, 20, 10, 10, 19, 0, 0, 6, 20, 10}));
}

TEST_F(WeightedTokensTest, RefusesABook) {
    std::string book;
    for (size_t i = 0; i < max_prompt_chunks * 4; ++i) book += "a ";
    EXPECT_EQ(tokens(book).chunks(), max_prompt_chunks);
    EXPECT_ERROR(tokens(book + "a"), "161 tokens");
}

}  // namespace diffapple

// Texts of other programs about how a picture was made.
#include <gtest/gtest.h>

#include "diffapple/tools/generation_text.h"

namespace diffapple {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

TEST(GenerationText, OfA1111) {
    const auto text = parse_generation_text(
        "a cat,\nfat\nNegative prompt: dog,\nlow quality\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, "
        "Size: 512x768, Lora hashes: \"a: 1, b: \\\"2\\\"\", Version: v1.6.0");
    EXPECT_EQ(text.prompt, "a cat,\nfat");
    EXPECT_EQ(text.negative_prompt, "dog,\nlow quality");
    const Settings expected{{"Steps", "20"},     {"Sampler", "DPM++ 2M Karras"},    {"CFG scale", "7"},   {"Seed", "1"},
                            {"Size", "512x768"}, {"Lora hashes", "a: 1, b: \"2\""}, {"Version", "v1.6.0"}};
    EXPECT_EQ(text.settings, expected);
    EXPECT_EQ(text.setting("Seed"), "1");
    EXPECT_EQ(text.setting("seed"), std::nullopt);
}

TEST(GenerationText, OfStableDiffusionCpp) {
    const auto text = parse_generation_text(
        "a lovely cat\nSteps: 20, CFG scale: 7.000000, Guidance: 3.500000, Eta: 0.000000, Seed: 42, Size: 512x512, "
        "Model: sd-v1-4.ckpt, RNG: cuda, Sampler: euler_a, Version: stable-diffusion.cpp");
    EXPECT_EQ(text.prompt, "a lovely cat");
    EXPECT_EQ(text.settings.size(), 10U);
    EXPECT_EQ(text.setting("Version"), "stable-diffusion.cpp");
}

TEST(GenerationText, AShortLastLineBelongsToThePrompt) {
    const auto text = parse_generation_text("a cat\nSteps: 20, Seed: 1");
    EXPECT_EQ(text.prompt, "a cat\nSteps: 20, Seed: 1");
    EXPECT_TRUE(text.settings.empty());
    EXPECT_EQ(parse_generation_text("").prompt, "");
    EXPECT_EQ(parse_generation_text("Steps: 1, Seed: 2, Size: 3x4").settings.size(), 3U);
}

TEST(GenerationText, OddLines) {
    EXPECT_EQ(find_generation_settings("A: 1, -x: 2, ab:3"), (Settings{{"ab", "3"}}));
    EXPECT_EQ(find_generation_settings("ab: \"1, 2"), (Settings{{"ab", "\"1"}}));
    EXPECT_EQ(find_generation_settings("ab: \"1\"2, cd:"), (Settings{{"ab", "\"1\"2"}, {"cd", ""}}));
    EXPECT_EQ(find_generation_settings("ab: \"\", cd: \"\\"), (Settings{{"ab", "\"\""}, {"cd", "\"\\"}}));
}

TEST(GenerationText, LongLinesTakeLinearTime) {
    const std::string words(4'000'000, 'a');
    EXPECT_TRUE(find_generation_settings(words).empty());
    EXPECT_TRUE(find_generation_settings("ab" + std::string(4'000'000, ' ')).empty());
    std::string quotes;
    for (int i = 0; i < 200'000; ++i) quotes += "ab: \"";
    EXPECT_EQ(find_generation_settings(quotes).size(), 1U);
}

}  // namespace
}  // namespace diffapple

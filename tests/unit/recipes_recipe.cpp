// Recipes, names of files, rules of replacement.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "diffapple/core/error.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/picture_file.h"
#include "io_support.h"

namespace diffapple {
namespace {

using nlohmann::json;

Recipe recipe(int steps) {
    return {.determining = {{"schema", recipe_schema},
                            {"model", {{"name", "a, b"}, {"weights", {{"unet", "00"}}}}},
                            {"scheduler", {{"name", "ddpm"}, {"config", json::object()}}},
                            {"settings", {{"seed", 3}, {"steps", steps}, {"width", 8}, {"height", 4}}}}};
}

TEST(Recipe, IdDependsOnWhatDeterminesOnly) {
    Recipe one = recipe(5), same = recipe(5);
    same.known["seconds"] = 1.5;
    EXPECT_EQ(one.id(), same.id());
    EXPECT_NE(one.id(), recipe(6).id());
    EXPECT_EQ(one.id().size(), 16U);
}

TEST(Recipe, TextIsReadBack) {
    Recipe written = recipe(5);
    written.known["seconds"] = 0.25;
    const Recipe read = Recipe::from_text(written.to_text(), "test");
    EXPECT_EQ(read.determining, written.determining);
    EXPECT_EQ(read.known, written.known);
}

TEST(Recipe, StrangersTextsAreRefused) {
    json changed = json::parse(recipe(5).to_text());
    changed["recipe"]["settings"]["steps"] = 6;
    json newer = json::parse(recipe(5).to_text());
    newer["schema"] = 99;
    for (const std::string& text : {changed.dump(), newer.dump(), std::string("{}"), std::string("["), std::string(),
                                    std::string(100'000, '['), std::string(R"({"schema":1,"id":3,"recipe":[]})")})
        EXPECT_THROW(Recipe::from_text(text, "test"), Error) << text.substr(0, 60);
}

TEST(Recipe, DifferenceNamesPathAndValues) {
    EXPECT_EQ(describe_difference(recipe(5), recipe(6)), "settings.steps 6 instead of 5");
    EXPECT_EQ(describe_difference(recipe(5), recipe(5)), "");
}

TEST(Recipe, A1111TextHasNoCommaInsideAValue) {
    EXPECT_EQ(a1111_parameters(recipe(5)).rfind("Steps: 5, Sampler: DDPM, Seed: 3, Size: 8x4, Model: a_ b, RNG: CPU, "
                                                "Version: diffapple ",
                                                0),
              0U);
}

std::string parameters_of(const json& settings) {
    Recipe prompted = recipe(5);
    prompted.determining["settings"].update(settings);
    return a1111_parameters(prompted);
}

TEST(Recipe, A1111TextOfPrompts) {
    const std::string line = "Steps: 5, Sampler: DDPM, CFG scale: 7.5, Seed: 3, Size: 8x4, Model: a_ b, ";
    const json plain = {{"prompt", "a cat, fat"}, {"negative_prompt", "dog"}, {"guidance", 7.5}};
    EXPECT_EQ(parameters_of(plain).rfind("a cat, fat\nNegative prompt: dog\n" + line + "RNG: CPU", 0), 0U);
    json more = plain;
    more.update({{"negative_prompt", ""}, {"strength", 0.5}, {"clip_skip", 1}});
    EXPECT_EQ(parameters_of(more).rfind("a cat, fat\n" + line + "Denoising strength: 0.5, Clip skip: 2, RNG: CPU", 0),
              0U);
    more["prompt"] = "";
    EXPECT_EQ(parameters_of(more).rfind("Steps: 5", 0), 0U);
}

TEST(Recipe, A1111TextOfPromptsThatLookLikeIt) {
    const std::string text = parameters_of({{"prompt", "a\n Negative prompt: b\nSteps: 1, Seed: 2, Size: 1x1"},
                                            {"negative_prompt", "Negative prompt: c\nd"}});
    EXPECT_EQ(
        text.rfind("a\n Negative prompt : b\nSteps: 1, Seed: 2, Size: 1x1\nNegative prompt: Negative prompt : c\nd\n"
                   "Steps: 5, ",
                   0),
        0U)
        << text;
    EXPECT_EQ(parameters_of({{"prompt", std::string("a\0b", 3)}}).rfind("a b\nSteps", 0), 0U);
}

TEST(Names, AreSafeEverywhere) {
    EXPECT_EQ(safe_name("a cat, fat"), "a_cat,_fat");
    EXPECT_EQ(safe_name("a/b\\c:d*e?f\"g<h>i|j\n"), "a-b-c-d-e-f-g-h-i-j-");
    EXPECT_EQ(safe_name(""), "-");
    EXPECT_EQ(safe_name(".."), "--");
    const std::string long_name = safe_name(std::string(40, 'x') + std::string(60, '\xc3') + "\xa4" + "tail");
    EXPECT_LE(long_name.size(), 100U);
    std::string umlauts;
    for (int i = 0; i < 80; ++i) umlauts += "\xc3\xa4";
    EXPECT_EQ(safe_name(umlauts).size() % 2, (90 + 9) % 2);  // cut between characters, then '-' and 8 digits
    EXPECT_NE(safe_name(umlauts), safe_name(umlauts + "x"));
}

TEST(Names, PathOfAPicture) {
    BatchSettings batch;
    batch.model = "ddpm-cat-demo";
    batch.device = "cpu";
    batch.dtype = "bf16";
    batch.seed = 0;
    batch.steps = 5;
    batch.scheduler = "ddpm";
    batch.width = batch.height = 8;
    const Circumstances now{.experiment = find_study_experiment("ddpm"),
                            .is_demo = true,
                            .own_scheduler = "ddpm",
                            .default_dtype = "fp32",
                            .default_size = Size{64, 64}};
    EXPECT_EQ(picture_path("out", batch, 0, now), "out/ddpm_cat_demo/uncond/seed0_i0_n5_size-8x8_dtype-bf16.png");
}

TEST(PictureFile, IsReplacedOnlyByItsOwnRecipeOrForce) {
    const auto folder = std::filesystem::temp_directory_path() / ("diffapple-test-" + std::to_string(getpid()));
    const auto file = folder / "a.png";
    EXPECT_FALSE(find_place(file, recipe(5), false, IfExists::refuse).existing);
    save_picture(file, {.width = 1, .height = 1, .channels = 3, .pixels = {1, 2, 3}}, recipe(5));
    EXPECT_EQ(read_recipe(file)->determining, recipe(5).determining);
    EXPECT_EQ(find_place(file, recipe(5), false, IfExists::refuse).existing->id(), recipe(5).id());
    EXPECT_THROW(find_place(file, recipe(6), false, IfExists::refuse), Error);
    const auto next = find_place(file, recipe(6), false, IfExists::rename);
    EXPECT_EQ(next.path.stem().string(), file.stem().string() + "_2");
    EXPECT_FALSE(next.existing);
    EXPECT_FALSE(find_place(file, recipe(6), true, IfExists::refuse).existing);
    EXPECT_EQ(find_place(file, recipe(6), false, IfExists::replace).path, file);
    std::filesystem::remove_all(folder);
}

Recipe of_schema_1(Recipe recipe) {
    recipe.determining["schema"] = 1;
    recipe.determining["scheduler"]["config"]["_diffusers_version"] = "0.6.0";
    recipe.determining["settings"]["zero_negative_prompt"] = false;
    recipe.determining["model"]["configs"] = {{"tokenizer", "old"}};
    return recipe;
}

/// A parser with a callback, which is quadratic, takes many minutes.
TEST(Recipe, OfVeryManyKeysAreReadInTime) {
    Recipe wide;
    for (int i = 0; i < 300'000; ++i) wide.known[std::to_string(i)] = 1;
    EXPECT_NO_THROW(Recipe::from_text(wide.to_text(), "test"));
}

TEST(Recipe, OfDeepNestingOrKeysGivenTwiceAreRefused) {
    const std::string deep = std::string(40, '[') + std::string(40, ']');
    EXPECT_ERROR(Recipe::from_text(R"({"schema":2,"id":"","recipe":{},"known":)" + deep + "}", "x"), "nested deeper");
    EXPECT_ERROR(Recipe::from_text(R"({"schema":2,"id":"","recipe":{"a":1,"a":2},"known":{}})", "x"), "given twice");
}

TEST(OlderSchemas, LeaveOutWhatIsNoDifference) {
    Recipe wanted = recipe(5);
    wanted.determining["schema"] = 2;
    wanted.determining["model"]["configs"] = {{"tokenizer", "new"}, {"feature_extractor", "x"}};
    wanted.configs_of_schema_1 = {{"tokenizer", "old"}};
    EXPECT_EQ(describe_difference(of_schema_1(recipe(5)), wanted), "");
    EXPECT_EQ(describe_difference(of_schema_1(recipe(6)), wanted), "settings.steps 5 instead of 6");
    wanted.configs_of_schema_1 = {{"tokenizer", "another"}};
    EXPECT_NE(describe_difference(of_schema_1(recipe(5)), wanted), "");
    EXPECT_EQ(Recipe::from_text(of_schema_1(recipe(5)).to_text(), "test").schema(), 1);
}

}  // namespace
}  // namespace diffapple

// Contact sheets: axes, places, labels, sizes.
#include <gtest/gtest.h>

#include "diffapple/core/error.h"
#include "diffapple/recipes/picture_facts.h"
#include "diffapple/sheets/contact_sheet.h"
#include "diffapple/sheets/picture_filter.h"
#include "diffapple/sheets/varying_settings.h"

namespace diffapple {
namespace {

using nlohmann::json;
using Settings = std::map<std::string, std::string>;

SheetPicture picture(const Settings& settings) {
    return {.settings = settings, .file = "x.png"};
}

SheetPlan plan(const std::vector<SheetPicture>& pictures) {
    return plan_sheet(pictures, {}, {}, 12);
}

std::vector<std::string> names(const std::vector<Axis>& axes) {
    std::vector<std::string> result;
    for (const Axis& axis : axes) result.push_back(axis.name);
    return result;
}

TEST(SettingTexts, AreShortAndComplete) {
    const Recipe recipe{.determining = {{"model", {{"name", "m"}, {"weights", {{"unet", std::string(64, 'a')}}}}},
                                        {"dtypes", {{"unet", "fp16"}, {"vae", "fp32"}}},
                                        {"device", "mps"},
                                        {"scheduler", {{"name", "ddpm"}, {"config", {{"_x", 1}, {"beta_end", 0.02}}}}},
                                        {"settings",
                                         {{"seed", 3},
                                          {"guidance", 7.5},
                                          {"index", 5},
                                          {"batch_size", 2},
                                          {"batch", {"a", "b", "c"}},
                                          {"width", 8},
                                          {"height", 4},
                                          {"prompt", "c"}}}}};
    const Settings expected{{"seed", "3"},         {"guidance", "7.5"},
                            {"picture", "1"},      {"batch size", "2"},
                            {"size", "8x4"},       {"prompt", "c"},
                            {"model", "m"},        {"weights", "aaaaaaaa"},
                            {"device", "mps"},     {"dtype", "unet fp16, vae fp32"},
                            {"scheduler", "ddpm"}, {"scheduler beta_end", "0.02"}};
    EXPECT_EQ(setting_texts(recipe), expected);
    EXPECT_EQ(setting_texts({.determining = {{"settings", 3}, {"model", "x"}, {"dtypes", json::array()}}}), Settings());
}

TEST(VaryingSettings, AreOrderedAndWithoutTheDerived) {
    std::vector<Settings> pictures;
    for (const char* guidance : {"10.0", "2.0"})
        for (const char* prompt : {"z", "a"})
            pictures.push_back({{"guidance", guidance}, {"prompt", prompt}, {"index", prompt}, {"steps", "4"}});
    const auto axes = varying_settings(pictures);
    EXPECT_EQ(names(axes), (std::vector<std::string>{"prompt", "guidance"}));
    EXPECT_EQ(axes[0].values, (std::vector<std::string>{"z", "a"}));
    EXPECT_EQ(axes[1].values, (std::vector<std::string>{"2.0", "10.0"}));
    EXPECT_EQ(shared_settings(pictures), "steps 4");
}

TEST(VaryingSettings, ThatChangeTogetherAreOne) {
    const auto axes =
        varying_settings({{{"device", "mps"}, {"dtype", "fp16"}}, {{"device", "cpu"}, {"dtype", "fp32"}}});
    EXPECT_EQ(names(axes), std::vector<std::string>{"device, dtype"});
    EXPECT_EQ(axes[0].values, (std::vector<std::string>{"mps, fp16", "cpu, fp32"}));
}

TEST(VaryingSettings, ThatDoNotApplyAreNoDifference) {
    std::vector<Settings> pictures;
    for (const char* prompt : {"a", "b"})
        for (const char* guidance : {"0.0", "2.0", "4.0"}) {
            pictures.push_back({{"prompt", prompt}, {"guidance", guidance}});
            if (guidance[0] != '0') pictures.back()["negative prompt"] = "n";
        }
    EXPECT_EQ(names(varying_settings(pictures)), (std::vector<std::string>{"prompt", "guidance"}));
    pictures.back()["negative prompt"] = "another";  // that is one
    EXPECT_EQ(names(varying_settings(pictures)).size(), 3U);
}

TEST(VaryingSettings, AbsentOnesAndCopies) {
    const auto axes = varying_settings({{{"eta", "0.5"}}, {}, {}});
    EXPECT_EQ(names(axes), (std::vector<std::string>{"eta", "copy"}));
    EXPECT_EQ(axes[0].values, (std::vector<std::string>{"-", "0.5"}));
    EXPECT_TRUE(varying_settings({}).empty());
    EXPECT_TRUE(varying_settings({{{"eta", "0.5"}}}).empty());
}

TEST(SheetPlan, LongestAxisInColumnsRestInRows) {
    std::vector<SheetPicture> pictures;
    for (const char* prompt : {"a cat that is so long that it is a sentence", "b"})
        for (const char* seed : {"0", "1"})
            for (const char* guidance : {"0.0", "2.0", "4.0"})
                pictures.push_back(picture({{"prompt", prompt}, {"seed", seed}, {"guidance", guidance}}));
    pictures.erase(pictures.begin() + 4);  // the first prompt, seed 1, guidance 2
    const SheetPlan made = plan(pictures);
    EXPECT_TRUE(made.is_table);
    EXPECT_EQ(made.column_name, "guidance");
    EXPECT_EQ(made.column_labels, (std::vector<std::string>{"0.0", "2.0", "4.0"}));
    ASSERT_EQ(made.rows, 4U);
    EXPECT_EQ(made.row_labels[1], (std::vector<std::string>{"a cat that is so long that it is a sentence", "seed 1"}));
    EXPECT_EQ(made.cells[4], std::nullopt);
    EXPECT_EQ(made.cells[5], 4U);
}

TEST(SheetPlan, ManyValuesInRows) {
    std::vector<SheetPicture> pictures;
    for (int seed = 0; seed < 20; ++seed)
        for (const char* steps : {"1", "2"})
            pictures.push_back(picture({{"seed", std::to_string(seed)}, {"steps", steps}}));
    const SheetPlan made = plan(pictures);
    EXPECT_EQ(made.column_name, "steps");
    EXPECT_EQ(made.rows, 20U);
    EXPECT_EQ(made.row_labels[19], std::vector<std::string>{"seed 19"});
}

TEST(SheetPlan, OneLongAxisIsAListWithCaptions) {
    std::vector<SheetPicture> pictures;
    for (int seed = 0; seed < 64; ++seed) pictures.push_back(picture({{"seed", std::to_string(seed)}}));
    const SheetPlan made = plan(pictures);
    EXPECT_FALSE(made.is_table);
    EXPECT_EQ(made.columns, 10U);
    EXPECT_EQ(made.rows, 7U);
    EXPECT_EQ(made.captions[63], std::vector<std::string>{"seed 63"});
    EXPECT_EQ(made.cells[69], std::nullopt);
}

TEST(SheetPlan, PicturesWithoutRecipesHaveTheirNames) {
    const SheetPlan made = plan({picture({}), picture({{"seed", "1"}}), picture({{"seed", "2"}})});
    EXPECT_FALSE(made.is_table);
    EXPECT_EQ(made.captions[0], std::vector<std::string>{"x.png"});
    EXPECT_EQ(made.captions[2], std::vector<std::string>{"seed 2"});
    EXPECT_THROW(plan_sheet({picture({})}, "seed", {}, 12), Error);
}

TEST(SheetPlan, SparseTablesAreLists) {
    std::vector<SheetPicture> pictures;
    for (int i = 0; i < 5; ++i)
        pictures.push_back(picture(
            {{"seed", std::to_string(i)}, {"steps", std::to_string(i * i % 7)}, {"eta", i < 2 ? "0.5" : "1.0"}}));
    EXPECT_FALSE(plan(pictures).is_table);
    EXPECT_TRUE(plan_sheet(pictures, "seed", "steps", 12).is_table);
}

TEST(SheetPlan, TwoSweepsAreAFullTableOfPairs) {
    std::vector<SheetPicture> pictures;
    const auto add = [&](const char* prompt, const char* steps, const char* guidance) {
        pictures.push_back(picture({{"prompt", prompt}, {"steps", steps}, {"guidance", guidance}}));
    };
    for (const char* prompt : {"a", "b"}) {
        for (const char* guidance : {"0.0", "2.0", "4.0", "8.0"}) add(prompt, "4", guidance);
        for (const char* steps : {"16", "1", "2", "8"}) add(prompt, steps, "0.0");
    }
    const SheetPlan made = plan(pictures);
    EXPECT_TRUE(made.is_table);
    EXPECT_EQ(made.column_name, "steps, guidance");
    EXPECT_EQ(made.column_labels, (std::vector<std::string>{"1, 0.0", "2, 0.0", "4, 0.0", "4, 2.0", "4, 4.0", "4, 8.0",
                                                            "8, 0.0", "16, 0.0"}));
    EXPECT_EQ(made.rows, 2U);
    EXPECT_EQ(made.note, "");
}

TEST(SheetPlan, WhatIsMostlyBlankHasANote) {
    std::vector<SheetPicture> pictures;
    for (int i = 0; i < 12; ++i)
        pictures.push_back(
            picture({{"seed", std::to_string(i)}, {"steps", std::to_string(i / 2)}, {"eta", i < 4 ? "0.5" : "1.0"}}));
    const SheetPlan chosen = plan_sheet(pictures, "seed", "steps", 12);
    EXPECT_TRUE(chosen.is_table);
    EXPECT_NE(chosen.note.find("60 of the 72 places"), std::string::npos) << chosen.note;
}

TEST(SheetPlan, ValuesAreInTheirNaturalOrder) {
    std::vector<SheetPicture> pictures;
    for (const char* size : {"128x64", "64x64", "64x128", "1024x64"}) pictures.push_back(picture({{"size", size}}));
    EXPECT_EQ(plan(pictures).column_labels, (std::vector<std::string>{"64x64", "64x128", "128x64", "1024x64"}));
    EXPECT_TRUE(natural_less("n2", "n16") && !natural_less("n16", "n2") && !natural_less("n2", "n2"));
    EXPECT_TRUE(natural_less("n2", "n2a") && natural_less("a", "b") && natural_less("", "a"));
}

TEST(SheetPlan, LongPromptsAreToldApartByTheirEnds) {
    std::vector<SheetPicture> pictures;
    const std::string beginning(30, 'x');
    for (const char* end : {"cat", "dog"})
        pictures.push_back(picture({{"prompt", beginning + " and " + beginning + " with a " + end}}));
    EXPECT_EQ(plan(pictures).row_labels[1], std::vector<std::string>{"... dog"});
}

TEST(SheetPlan, ChosenAxes) {
    std::vector<SheetPicture> pictures;
    for (const char* seed : {"0", "1", "2"})
        for (const char* steps : {"1", "2"})
            pictures.push_back(picture({{"seed", seed}, {"steps", steps}, {"negative prompt", "n"}}));
    EXPECT_EQ(plan(pictures).column_name, "seed");
    EXPECT_EQ(plan_sheet(pictures, "seed", {}, 12).column_name, "steps");
    EXPECT_EQ(plan_sheet(pictures, {}, "steps", 12).rows, 3U);
    EXPECT_EQ(plan_sheet(pictures, "negative_prompt", "seed", 12).rows, 2U);
    EXPECT_THROW(plan_sheet(pictures, "colour", {}, 12), Error);
}

Image square(int64_t side) {
    Image image = blank_image(side, side, 3);
    image.pixels.assign(image.pixels.size(), 77);
    return image;
}

TEST(DrawSheet, AnyPlanAndAnyText) {
    const std::string odd = std::string("\xff\x01 \xd8\xa8 ") + std::string(5000, 'w') + " \xe7\x8c\xab\n\n";
    for (const int64_t side : {1, 16, 64, 300})
        for (const size_t count : {1U, 2U, 7U}) {
            std::vector<SheetPicture> pictures;
            for (size_t i = 0; i < count; ++i)
                pictures.push_back(
                    picture({{"prompt", odd + std::to_string(i % 2)}, {"seed", std::to_string(i)}, {"other", odd}}));
            const auto sheet = draw_sheet(plan(pictures), {side, side}, false, [&](size_t i) {
                return i == 1 ? std::nullopt : std::optional(square(i == 0 ? 2 * side : side));
            });
            ASSERT_TRUE(sheet);
            EXPECT_GT(sheet->width, side);
            EXPECT_LT(sheet->width * sheet->height, 3'000'000);
            EXPECT_NE(std::find(sheet->pixels.begin(), sheet->pixels.end(), 77), sheet->pixels.end());
        }
}

TEST(DrawSheet, TooLargeIsRefused) {
    std::vector<SheetPicture> pictures;
    for (int i = 0; i < 5000; ++i) pictures.push_back(picture({{"seed", std::to_string(i)}}));
    EXPECT_FALSE(draw_sheet(plan(pictures), {512, 512}, false, [](size_t) { return square(1); }));
    EXPECT_TRUE(draw_sheet(plan(pictures), {16, 16}, false, [](size_t) { return square(1); }));
}

}  // namespace
}  // namespace diffapple

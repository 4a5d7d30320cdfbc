// Labels: fonts that are found, built in or broken, and any text.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "../../src/sheets/font.h"
#include "diffapple/core/error.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

Image white(int64_t width, int64_t height) {
    return {.width = width,
            .height = height,
            .channels = 3,
            .pixels = std::vector<uint8_t>(static_cast<size_t>(width * height * 3), 255)};
}

int64_t dark_pixels(const Image& image) {
    int64_t count = 0;
    for (size_t i = 0; i < image.pixels.size(); i += 3) count += image.pixels[i] < 128;
    return count;
}

TEST(Fonts, BuiltinHasEveryAsciiCharacter) {
    const auto font = builtin_font(10);
    std::vector<Image> seen;
    for (char32_t c = U'!'; c <= U'~'; ++c) {
        Image image = white(8, 14);
        font->draw(image, 1, 9, std::u32string(1, c), 0);
        EXPECT_GT(dark_pixels(image), 1) << static_cast<int>(c);
        for (const Image& other : seen) EXPECT_NE(image.pixels, other.pixels) << static_cast<int>(c);
        seen.push_back(image);
    }
}

TEST(Fonts, WidthIsWhatIsDrawn) {
    for (const int64_t pixels : {8, 10, 20, 47}) {
        const auto font = builtin_font(pixels);
        const int64_t width = font->width(U"HHH");
        Image image = white(width + 2, font->line_height());
        font->draw(image, 1, font->ascent(), U"HHH", 0);
        EXPECT_EQ(image.pixels[static_cast<size_t>(3 * width)], 0) << pixels;  // the last column of the last H
        EXPECT_EQ(image.pixels[static_cast<size_t>(3 * (width + 1))], 255) << pixels;
    }
}

TEST(Fonts, AnyTextIsDrawnByAnyFont) {
    const std::u32string texts[] = {U"",
                                    U" ",
                                    U"\u732b a\u0308 \u05d0\u0628\u0915",
                                    {0, 1, 0x1f, 0x7f, 0xfffd, 0x10ffff, 0x110000, 0xd800},
                                    U"\u200d\ufe0f",
                                    std::u32string(1'000, U'x')};
    for (const int64_t pixels : {8, 13, 200}) {
        std::vector<std::unique_ptr<Font>> fonts;
        fonts.push_back(builtin_font(pixels));
        fonts.push_back(open_font(pixels));
        for (const auto& font : fonts)
            for (const auto& text : texts)
                for (const int64_t left : {-50, 0, 90}) {
                    Image image = white(100, 20);
                    font->draw(image, left, 10, text, 0);
                    EXPECT_GE(font->width(text), 0);
                }
    }
}

TEST(Fonts, WhatCannotBeDrawnIsABox) {
    std::vector<std::unique_ptr<Font>> fonts;
    fonts.push_back(builtin_font(20));
    fonts.push_back(open_font(20));
    for (const auto& font : fonts)
        for (const char32_t* text : {U"\U0010fffd", U"\u0628"}) {
            Image image = white(60, 40);
            font->draw(image, 2, 30, text, 0);
            EXPECT_GT(dark_pixels(image), 20);
            EXPECT_GE(font->width(text), 8);
        }
}

TEST(Fonts, SameTextSamePixels) {
    Image one = white(200, 30), two = white(200, 30);
    open_font(13)->draw(one, 3, 20, U"guidance 7.5", 0);
    open_font(13)->draw(two, 3, 20, U"guidance 7.5", 0);
    EXPECT_EQ(one.pixels, two.pixels);
    EXPECT_GT(dark_pixels(one), 50);
}

TEST(Fonts, SearchPrefersKnownNamesInAFixedOrder) {
    const auto folder = fs::temp_directory_path() / ("diffapple-fonts-" + std::to_string(getpid()));
    for (const char* name : {"b/LiberationSans-Regular.ttf", "a/z/DejaVuSans.ttf", "a/z/DejaVuSans-Bold.ttf",
                             "a/y/DejaVuSans.ttf", "b/unifont.ttf", "b/Zapfino.ttf"}) {
        fs::create_directories((folder / name).parent_path());
        std::ofstream(folder / name) << "x";
    }
    const std::vector<fs::path> expected{folder / "a/y/DejaVuSans.ttf", folder / "b/unifont.ttf"};
    EXPECT_EQ(find_fonts({folder / "missing", folder}), expected);
    EXPECT_EQ(find_fonts({folder / "missing"}), std::vector<fs::path>());
    EXPECT_EQ(freetype_font(expected, 12), nullptr);  // no fonts in truth
    fs::remove_all(folder);
}

TEST(Fonts, EnvironmentChooses) {
    setenv("DIFFAPPLE_FONT", "builtin", 1);
    EXPECT_EQ(open_font(10)->width(U"ab"), builtin_font(10)->width(U"ab"));
    setenv("DIFFAPPLE_FONT", "/dev/null", 1);
    EXPECT_THROW(open_font(10), Error);
    unsetenv("DIFFAPPLE_FONT");
}

}  // namespace
}  // namespace diffapple

// Text drawn into pictures, for the labels of contact sheets.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diffapple/io/image.h"

namespace diffapple {

/// A font at one size. Whatever the text holds, something is drawn: a character that the font lacks is a hollow box,
/// and so is one of a script whose letters must be joined or ordered first (Arabic, Hebrew, Devanagari, ...), which is
/// not done here. Invisible marks (joiners, variation selectors) are left out. Lengths are in pixels.
class Font {
public:
    virtual ~Font() = default;

    /// From the baseline up to the highest letters, and from a baseline to the next.
    virtual int64_t ascent() const = 0;
    virtual int64_t line_height() const = 0;
    /// Of a single line.
    virtual int64_t width(std::u32string_view text) = 0;
    /// Draws a line in `grey` (0 black) into a picture of 3 channels; what is outside of it is left out.
    virtual void draw(Image& onto, int64_t left, int64_t baseline, std::u32string_view text, uint8_t grey) = 0;
};

/// Fonts on this machine that labels can be drawn with: the first is a text font, the others have what it may lack
/// (Chinese, Japanese, Korean, symbols). Names that Debian's and Apple's systems are known to have are looked for in
/// the folders where fonts lie, in a fixed order; nothing depends on the user's font settings.
std::vector<std::filesystem::path> find_fonts();

/// The first of `folders` (searched with their subfolders) that has a known font counts. For find_fonts and its tests.
std::vector<std::filesystem::path> find_fonts(const std::vector<std::filesystem::path>& folders);

/// A font whose letters are about `pixels` high from the lowest to the highest (8 to 200). $DIFFAPPLE_FONT names a font
/// file, or `builtin`; without it find_fonts chooses; without any font the built-in one is used, which has ASCII only.
/// Throws Error when the file that $DIFFAPPLE_FONT names is no font.
std::unique_ptr<Font> open_font(int64_t pixels);

/// The built-in font: 5x7 dots to a letter, drawn at a whole multiple.
std::unique_ptr<Font> builtin_font(int64_t pixels);

/// FreeType's rendering. `files` as of find_fonts; those that FreeType cannot use are passed over. Null when that
/// leaves none.
std::unique_ptr<Font> freetype_font(const std::vector<std::filesystem::path>& files, int64_t pixels);

}  // namespace diffapple

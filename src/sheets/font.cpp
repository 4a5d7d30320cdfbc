// Which font labels are drawn with, and what all fonts have in common.
#include "font.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "diffapple/core/error.h"
#include "font_drawing.h"

namespace diffapple {

namespace fs = std::filesystem;

void blend_pixel(Image& onto, int64_t x, int64_t y, uint8_t grey, uint8_t coverage) {
    if (x < 0 || y < 0 || x >= onto.width || y >= onto.height) return;
    const auto first = static_cast<size_t>((y * onto.width + x) * onto.channels);
    for (size_t i = first; i < first + static_cast<size_t>(onto.channels); ++i) {
        const int mixed = onto.pixels[i] * (255 - coverage) + grey * coverage;
        onto.pixels[i] = static_cast<uint8_t>((mixed + 127) / 255);
    }
}

void draw_box(Image& onto, int64_t left, int64_t top, int64_t width, int64_t height, int64_t line, uint8_t grey) {
    for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
            if (x < line || y < line || x >= width - line || y >= height - line)
                blend_pixel(onto, left + x, top + y, grey, 255);
}

namespace {

struct Range {
    char32_t first, last;
};

template <size_t N>
bool in_any(const std::array<Range, N>& ranges, char32_t c) {
    return std::any_of(ranges.begin(), ranges.end(), [c](Range range) { return c >= range.first && c <= range.last; });
}

}  // namespace

bool is_invisible(char32_t c) {
    static constexpr std::array<Range, 6> ranges = {
        {{0xad, 0xad}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2069}, {0xfe00, 0xfe0f}, {0xe0000, 0xe0fff}}};
    return in_any(ranges, c);
}

bool needs_shaping(char32_t c) {
    static constexpr std::array<Range, 8> ranges = {
        {{0x590, 0x8ff},    // Hebrew, Arabic, Syriac, ...
         {0x900, 0xdff},    // Devanagari to Sinhala
         {0xf00, 0x109f},   // Tibetan, Myanmar
         {0x1780, 0x18af},  // Khmer, Mongolian
         {0x1a20, 0x1bff},  // Tai Tham to Batak
         {0xfb1d, 0xfdff},  // presentation forms
         {0xfe70, 0xfeff},
         {0x10800, 0x11fff}}};  // old scripts from right to left, Indic ones
    return in_any(ranges, c);
}

namespace {

/// Text fonts, the best first; one is enough.
constexpr const char* text_fonts[] = {"DejaVuSans.ttf",
                                      "NotoSans-Regular.ttf",
                                      "LiberationSans-Regular.ttf",
                                      "HelveticaNeue.ttc",
                                      "Helvetica.ttc",
                                      "Arial.ttf",
                                      "Arial Unicode.ttf",
                                      "Ubuntu-R.ttf",
                                      "OpenSans-Regular.ttf",
                                      "Roboto-Regular.ttf",
                                      "FreeSans.ttf",
                                      "FreeSans.otf",
                                      "SFNS.ttf",
                                      "Geneva.ttf"};
/// Fonts for what a text font lacks; all that are there.
constexpr const char* further_fonts[] = {"DejaVuSans.ttf",
                                         "Arial Unicode.ttf",
                                         "NotoSansCJK-Regular.ttc",
                                         "Hiragino Sans GB.ttc",
                                         "PingFang.ttc",
                                         "ヒラギノ角ゴシック W3.ttc",
                                         "AppleSDGothicNeo.ttc",
                                         "wqy-microhei.ttc",
                                         "wqy-zenhei.ttc",
                                         "DroidSansFallbackFull.ttf",
                                         "DroidSansFallback.ttf",
                                         "ipag.ttf",
                                         "NanumGothic.ttf",
                                         "Apple Symbols.ttf",
                                         "NotoSansSymbols2-Regular.ttf",
                                         "NotoEmoji-Regular.ttf",
                                         "Symbola.ttf",
                                         "Symbola_hint.ttf",
                                         "unifont.otf",
                                         "unifont.ttf"};

std::vector<fs::path> font_folders() {
    std::vector<fs::path> folders{"/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts",
                                  "/Library/Fonts", "/opt/homebrew/share/fonts"};
    if (const char* home = std::getenv("HOME"); home && *home)
        for (const char* folder : {".local/share/fonts", ".fonts", "Library/Fonts"})
            folders.push_back(fs::path(home) / folder);
    return folders;
}

/// Adds the files below a folder by name, the first of a name counting; in the order of their paths.
void add_files(const fs::path& folder, std::map<std::string, fs::path>& files) {
    constexpr size_t max_files = 50'000;
    std::vector<fs::path> found;
    std::error_code error;
    auto entry = fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied, error);
    for (; !error && entry != fs::recursive_directory_iterator() && found.size() < max_files; entry.increment(error))
        if (std::error_code ignored; entry->is_regular_file(ignored)) found.push_back(entry->path());
    std::sort(found.begin(), found.end());
    for (const auto& path : found) files.emplace(path.filename().string(), path);
}

}  // namespace

std::vector<fs::path> find_fonts(const std::vector<fs::path>& folders) {
    std::map<std::string, fs::path> files;
    for (const auto& folder : folders) add_files(folder, files);
    std::vector<fs::path> chosen;
    for (const char* name : text_fonts)
        if (const auto found = files.find(name); found != files.end() && chosen.empty())
            chosen.push_back(found->second);
    for (const char* name : further_fonts)
        if (const auto found = files.find(name);
            found != files.end() && std::find(chosen.begin(), chosen.end(), found->second) == chosen.end())
            chosen.push_back(found->second);
    return chosen;
}

std::vector<fs::path> find_fonts() {
    return find_fonts(font_folders());
}

std::unique_ptr<Font> open_font(int64_t pixels) {
    const char* const named = std::getenv("DIFFAPPLE_FONT");
    if (!named || !*named) {
        auto font = freetype_font(find_fonts(), pixels);
        return font ? std::move(font) : builtin_font(pixels);
    }
    if (std::string(named) == "builtin") return builtin_font(pixels);
    auto font = freetype_font({named}, pixels);
    if (!font)
        fail("DIFFAPPLE_FONT ", named,
             ": is no font file that can be read; name a .ttf, .otf or .ttc file, or builtin");
    return font;
}

}  // namespace diffapple

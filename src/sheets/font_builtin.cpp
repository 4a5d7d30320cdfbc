// A plain font in the program itself, for machines without one. Drawn for diffapple.
#include <algorithm>
#include <array>

#include "font.h"
#include "font_drawing.h"

namespace diffapple {
namespace {

constexpr int64_t glyph_columns = 5, glyph_rows = 9, rows_above_baseline = 7;
constexpr int64_t advance = glyph_columns + 1, line_rows = 11;
constexpr char32_t first_glyph = U' ', last_glyph = U'~';

/// 9 rows of 5 dots each, from the top left (bit 44) to the bottom right (bit 0); the last 2 rows are below the
/// baseline.
// clang-format off
constexpr std::array<uint64_t, last_glyph - first_glyph + 1> glyphs = {
    0x000000000000, 0x042108401000, 0x0a5280000000, 0x0a57d5f52800, 0x047d1c5f1000, 0x18c888898c00,  //  !"#$%
    0x0c9511593400, 0x042100000000, 0x022210820800, 0x082084222000, 0x00255d520000, 0x00213e420000,  // &'()*+
    0x000000063088, 0x00003e000000, 0x000000063000, 0x000888880000, 0x0e8ceb98b800, 0x046108423800,  // ,-./01
    0x0e8844447c00, 0x1f110418b800, 0x0232a5f10800, 0x1f878218b800, 0x06443d18b800, 0x1f0888842000,  // 234567
    0x0e8c5d18b800, 0x0e8c5e113000, 0x006300c60000, 0x006300c61100, 0x022220820800, 0x0007c1f00000,  // 89:;<=
    0x082082222000, 0x0e8844401000, 0x0e8deb783800, 0x0e8c63f8c400, 0x1e8c7d18f800, 0x0e8c2108b800,  // >?@ABC
    0x1c9463197000, 0x1f843d087c00, 0x1f843d084000, 0x0e8c2f18bc00, 0x118c7f18c400, 0x0e2108423800,  // DEFGHI
    0x071084293000, 0x119531494400, 0x108421087c00, 0x11dd6b18c400, 0x118e6b38c400, 0x0e8c6318b800,  // JKLMNO
    0x1e8c7d084000, 0x0e8c63593400, 0x1e8c7d494400, 0x0f841c10f800, 0x1f2108421000, 0x118c6318b800,  // PQRSTU
    0x118c63151000, 0x118c6b5aa800, 0x118a88a8c400, 0x118a88421000, 0x1f0888887c00, 0x0e4210843800,  // VWXYZ[
    0x008208208000, 0x0e1084213800, 0x045440000000, 0x0000000003e0, 0x082080000000, 0x000382f8bc00,  // \]^_`a
    0x1085b318f800, 0x0003a108b800, 0x010b6718bc00, 0x0003a3f83800, 0x064a38842000, 0x0003e318bc2e,  // bcdefg
    0x1085b318c400, 0x040308423800, 0x020184210a4c, 0x1084a98a4800, 0x0c2108423800, 0x0006ab5ad400,  // hijklm
    0x0005b318c400, 0x0003a318b800, 0x0007a318fa10, 0x0003e318bc21, 0x0005b3084000, 0x0003e0e0f800,  // nopqrs
    0x084710849800, 0x00046319b400, 0x000463151000, 0x0004635aa800, 0x000454454400, 0x00046318bc2e,  // tuvwxy
    0x0007c4447c00, 0x022110420800, 0x042108421000, 0x082104422000, 0x00026b200000,  // z{|}~
};
// clang-format on

bool has_dot(char32_t c, int64_t column, int64_t row) {
    const int64_t bit = (glyph_rows - 1 - row) * glyph_columns + (glyph_columns - 1 - column);
    return glyphs[c - first_glyph] >> bit & 1;
}

class BuiltinFont final : public Font {
public:
    explicit BuiltinFont(int64_t pixels) : scale_(std::max<int64_t>(1, (pixels + 5) / 10)) {}

    int64_t ascent() const override { return rows_above_baseline * scale_; }
    int64_t line_height() const override { return line_rows * scale_; }

    int64_t width(std::u32string_view text) override {
        const auto shown = std::count_if(text.begin(), text.end(), [](char32_t c) { return !is_invisible(c); });
        return std::max<int64_t>(0, shown * advance - 1) * scale_;
    }

    void draw(Image& onto, int64_t left, int64_t baseline, std::u32string_view text, uint8_t grey) override {
        const int64_t top = baseline - ascent();
        for (const char32_t c : text) {
            if (is_invisible(c)) continue;
            if (c >= first_glyph && c <= last_glyph)
                draw_glyph(onto, left, top, c, grey);
            else
                draw_box(onto, left, top, glyph_columns * scale_, ascent(), scale_, grey);
            left += advance * scale_;
        }
    }

private:
    void draw_glyph(Image& onto, int64_t left, int64_t top, char32_t c, uint8_t grey) const {
        for (int64_t y = 0; y < glyph_rows * scale_; ++y)
            for (int64_t x = 0; x < glyph_columns * scale_; ++x)
                if (has_dot(c, x / scale_, y / scale_)) blend_pixel(onto, left + x, top + y, grey, 255);
    }

    int64_t scale_;
};

}  // namespace

std::unique_ptr<Font> builtin_font(int64_t pixels) {
    return std::make_unique<BuiltinFont>(pixels);
}

}  // namespace diffapple

// Fonts of this machine, drawn by FreeType.
#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "font.h"
#include "font_drawing.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

struct LibraryCloser {
    void operator()(FT_Library library) const { FT_Done_FreeType(library); }
};
struct FaceCloser {
    void operator()(FT_Face face) const { FT_Done_Face(face); }
};
using Library = std::unique_ptr<FT_LibraryRec_, LibraryCloser>;
using Face = std::unique_ptr<FT_FaceRec_, FaceCloser>;

/// Null for what is no scalable font with a Unicode table.
Face open_face(FT_Library library, const fs::path& file, int64_t pixels) {
    FT_Face opened = nullptr;
    if (FT_New_Face(library, file.c_str(), 0, &opened) != 0) return nullptr;
    Face face(opened);
    const bool usable = FT_IS_SCALABLE(opened) && opened->charmap && opened->charmap->encoding == FT_ENCODING_UNICODE &&
                        FT_Set_Pixel_Sizes(opened, 0, static_cast<FT_UInt>(pixels)) == 0;
    return usable ? std::move(face) : nullptr;
}

class FreeTypeFont final : public Font {
public:
    FreeTypeFont(Library library, Face first, std::vector<fs::path> further, int64_t pixels)
        : library_(std::move(library)), further_(std::move(further)), pixels_(pixels) {
        const FT_Size_Metrics& metrics = first->size->metrics;
        ascent_ = std::clamp<int64_t>(metrics.ascender / 64, pixels / 2, 2 * pixels);
        line_height_ = std::clamp<int64_t>(metrics.height / 64, pixels, 3 * pixels);
        faces_.push_back(std::move(first));
    }

    int64_t ascent() const override { return ascent_; }
    int64_t line_height() const override { return line_height_; }

    int64_t width(std::u32string_view text) override {
        Pen pen;
        for (const char32_t c : text) advance(pen, c);
        return pen.x;
    }

    void draw(Image& onto, int64_t left, int64_t baseline, std::u32string_view text, uint8_t grey) override {
        Pen pen;
        for (const char32_t c : text) {
            const int64_t x = left + advance(pen, c);
            if (pen.glyph && pen.glyph->face)
                draw_glyph(*pen.glyph, onto, x, baseline, grey);
            else if (pen.glyph)
                draw_box(onto, x + 1, baseline - box_height(), pen.glyph->advance - 2, box_height(), 1, grey);
        }
    }

private:
    /// Where a character is found; a box has no face.
    struct Glyph {
        FT_Face face = nullptr;
        FT_UInt index = 0;
        int64_t advance = 0;
    };
    struct Pen {
        int64_t x = 0;
        const Glyph* glyph = nullptr;  ///< drawn last; null at the start and after an invisible character
    };

    static constexpr FT_Int32 load_flags = FT_LOAD_TARGET_LIGHT | FT_LOAD_NO_BITMAP;

    int64_t box_height() const { return std::max<int64_t>(4, pixels_ * 7 / 10); }

    /// The first face that has the character; further ones are opened when they are needed.
    FT_Face face_of(char32_t c) {
        for (size_t i = 0;; ++i) {
            while (i >= faces_.size()) {
                if (next_further_ == further_.size()) return nullptr;
                if (Face face = open_face(library_.get(), further_[next_further_++], pixels_))
                    faces_.push_back(std::move(face));
            }
            if (FT_Get_Char_Index(faces_[i].get(), c) != 0) return faces_[i].get();
        }
    }

    const Glyph& glyph_of(char32_t c) {
        if (const auto found = glyphs_.find(c); found != glyphs_.end()) return found->second;
        Glyph glyph{.advance = std::max<int64_t>(4, pixels_ * 6 / 10)};
        if (const FT_Face face = needs_shaping(c) ? nullptr : face_of(c)) {
            const FT_UInt index = FT_Get_Char_Index(face, c);
            if (FT_Load_Glyph(face, index, load_flags) == 0)
                glyph = {.face = face, .index = index, .advance = (face->glyph->advance.x + 32) / 64};
        }
        return glyphs_.emplace(c, glyph).first->second;
    }

    /// Moves the pen past a character; returns where it stands.
    int64_t advance(Pen& pen, char32_t c) {
        const Glyph* const before = std::exchange(pen.glyph, nullptr);
        if (is_invisible(c)) return pen.x;
        pen.glyph = &glyph_of(c);
        FT_Vector kerning{};
        if (before && before->face && before->face == pen.glyph->face)
            FT_Get_Kerning(before->face, before->index, pen.glyph->index, FT_KERNING_DEFAULT, &kerning);
        const int64_t x = pen.x + kerning.x / 64;
        pen.x = x + pen.glyph->advance;
        return x;
    }

    static void draw_glyph(const Glyph& glyph, Image& onto, int64_t x, int64_t baseline, uint8_t grey) {
        if (FT_Load_Glyph(glyph.face, glyph.index, load_flags | FT_LOAD_RENDER) != 0) return;
        const FT_GlyphSlot slot = glyph.face->glyph;
        const FT_Bitmap& bitmap = slot->bitmap;
        if (bitmap.pixel_mode != FT_PIXEL_MODE_GRAY) return;  // of a blank, which has no bitmap
        for (int64_t row = 0; row < static_cast<int64_t>(bitmap.rows); ++row)
            for (int64_t column = 0; column < static_cast<int64_t>(bitmap.width); ++column)
                blend_pixel(onto, x + slot->bitmap_left + column, baseline - slot->bitmap_top + row, grey,
                            bitmap.buffer[row * bitmap.pitch + column]);
    }

    Library library_;
    std::vector<Face> faces_;                     // after the library: closed before it
    std::unordered_map<char32_t, Glyph> glyphs_;  // pointers into it stay valid
    std::vector<fs::path> further_;
    size_t next_further_ = 0;
    int64_t pixels_, ascent_ = 0, line_height_ = 0;
};

}  // namespace

std::unique_ptr<Font> freetype_font(const std::vector<fs::path>& files, int64_t pixels) {
    FT_Library opened = nullptr;
    if (FT_Init_FreeType(&opened) != 0) return nullptr;
    Library library(opened);
    for (auto file = files.begin(); file != files.end(); ++file)
        if (Face face = open_face(library.get(), *file, pixels))
            return std::make_unique<FreeTypeFont>(std::move(library), std::move(face),
                                                  std::vector<fs::path>(file + 1, files.end()), pixels);
    return nullptr;
}

}  // namespace diffapple

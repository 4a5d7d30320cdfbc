// PNG files, decoded by libpng into what Pillow makes of them. Stricter than Pillow: a wrong checksum, or more or less
// than the picture in the compressed stream, is an error.
#include <png.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "c_errors.h"
#include "diffapple/core/error.h"
#include "exif.h"
#include "image_formats.h"

namespace diffapple {
namespace {

constexpr const char* png_cut_off = "ends before the picture does";

class PngDecoder {
public:
    PngDecoder(const std::filesystem::path& path, std::string_view bytes)
        : path_(path), rest_(bytes), file_bytes_(bytes.size()) {
        png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
        if (png_) info_ = png_create_info_struct(png_);
        if (!info_) {
            png_destroy_read_struct(&png_, nullptr, nullptr);
            fail(path.string(), ": cannot be decoded: out of memory, or another libpng than at build");
        }
    }
    ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
    PngDecoder(const PngDecoder&) = delete;
    PngDecoder& operator=(const PngDecoder&) = delete;

    StoredImage decode() {
        attempt([this] {
            choose_chunks();
            png_set_read_fn(png_, this, on_read);
            png_read_info(png_, info_);
        });
        const int64_t width = png_get_image_width(png_, info_), height = png_get_image_height(png_, info_);
        check_image_size(path_, width, height);
        const int colour = png_get_color_type(png_, info_), depth = png_get_bit_depth(png_, info_);
        check_image_cost(path_, file_bytes_, static_cast<int64_t>(png_get_rowbytes(png_, info_)) * height);
        attempt([&] { choose_form(colour, depth); });
        const bool grey = (colour & PNG_COLOR_MASK_COLOR) == 0;
        Image image = blank_image(width, height, grey ? 1 : 3);
        if (colour == PNG_COLOR_TYPE_GRAY && depth == 16) {
            Image wide = blank_image(width, height, 2);
            read_rows(wide);
            for (size_t i = 0; i < image.pixels.size(); ++i)  // cut at 255, as Pillow does
                image.pixels[i] = wide.pixels[2 * i] ? 255 : wide.pixels[2 * i + 1];
        } else {
            read_rows(image);
        }
        return {std::move(image), exif_ ? *exif_ : xmp_.value_or(1)};
    }

private:
    static PngDecoder& decoder(void* pointer) { return *static_cast<PngDecoder*>(pointer); }

    static void on_error(png_structp png, png_const_charp text) { decoder(png_get_error_ptr(png)).errors_.leave(text); }

    /// libpng warns of a stream that holds more than the picture, or that has a wrong end.
    static void on_warning(png_structp png, png_const_charp text) {
        if (std::string_view(text).starts_with("IDAT:")) on_error(png, text);
    }

    static void on_read(png_structp png, png_bytep target, size_t count) {
        std::string_view& rest = decoder(png_get_io_ptr(png)).rest_;
        if (count > rest.size()) png_error(png, png_cut_off);
        std::memcpy(target, rest.data(), count);
        rest.remove_prefix(count);
    }

    static int on_chunk(png_structp png, png_unknown_chunkp chunk) {
        const std::string_view name(reinterpret_cast<const char*>(chunk->name), 4);
        const std::string_view data(reinterpret_cast<const char*>(chunk->data), chunk->size);
        constexpr std::string_view xmp{"XML:com.adobe.xmp\0\0", 19};  // not compressed
        PngDecoder& self = decoder(png_get_user_chunk_ptr(png));
        if (name == "eXIf") self.exif_ = exif_orientation(data);
        if (name == "iTXt" && data.starts_with(xmp)) self.xmp_ = xmp_orientation(data);
        return 1;  // whatever is in it: it changes no pixel
    }

    template <typename Step>
    void attempt(Step step) {
        if (errors_.attempt(step)) return;
        const std::string text = errors_.message();
        const auto says = [&](const char* words) { return text.find(words) != std::string::npos; };
        std::string problem = "is damaged: " + text;
        if (says(png_cut_off) || says("Not enough image data")) problem = png_cut_off;
        if (says("Too much image data") || says("Extra compressed data"))
            problem = "is damaged: it holds more than its picture";
        fail(path_.string(), ": ", problem);
    }

    /// All chunks but those that make the picture are only looked at by on_chunk. Every checksum counts.
    void choose_chunks() {
        png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
        png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_image_size has limits of its own
        png_set_chunk_malloc_max(png_, 0);                            // no chunk is larger than the file
        png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
        png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, reinterpret_cast<png_const_bytep>("tRNS"), 1);
        png_set_read_user_chunk_fn(png_, this, on_chunk);
    }

    /// Grey or RGB, without alpha, the high byte of 16 bits; but both bytes of plain grey.
    void choose_form(int colour, int depth) {
        if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
        if (colour == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png_);
        if (colour != PNG_COLOR_TYPE_GRAY) png_set_strip_16(png_);
        png_set_strip_alpha(png_);
        png_set_interlace_handling(png_);
        png_read_update_info(png_, info_);
    }

    void read_rows(Image& image) {
        const auto row = static_cast<size_t>(image.width * image.channels);
        if (png_get_rowbytes(png_, info_) != row) fail(path_.string(), ": cannot be decoded: its rows are not as said");
        std::vector<png_bytep> rows;
        for (size_t at = 0; at < image.pixels.size(); at += row) rows.push_back(&image.pixels[at]);
        attempt([&] {
            png_read_image(png_, rows.data());
            png_read_end(png_, nullptr);
        });
    }

    const std::filesystem::path& path_;
    std::string_view rest_;
    uint64_t file_bytes_;
    png_structp png_ = nullptr;
    png_infop info_ = nullptr;
    std::optional<int> exif_, xmp_;
    CErrors errors_;
};

}  // namespace

StoredImage decode_png(const std::filesystem::path& path, std::string_view bytes) {
    return PngDecoder(path, bytes).decode();
}

}  // namespace diffapple

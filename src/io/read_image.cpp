// Reading of picture files: the format is known by its first bytes.
#include <algorithm>
#include <array>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/io/files.h"
#include "diffapple/io/image.h"
#include "exif.h"
#include "image_formats.h"
#include "png_chunks.h"

namespace diffapple {

void check_image_size(const std::filesystem::path& path, int64_t width, int64_t height) {
    if (width < 1 || height < 1) fail(path.string(), ": has a picture of an impossible size");
    if (width > largest_image_side || height > largest_image_side || width * height > largest_image_pixels)
        fail(path.string(), ": is a picture of ", width, "x", height, " pixels, and at most ", largest_image_side,
             " a side and ", largest_image_pixels, " in all are read");
}

void check_image_cost(const std::filesystem::path& path, uint64_t file_bytes, int64_t needed) {
    constexpr uint64_t always_granted = 350'000'000, per_byte = 100;
    if (static_cast<uint64_t>(needed) > std::max(always_granted, per_byte * file_bytes))
        fail(path.string(), ": has ", format_bytes(file_bytes), ", and to read it takes ", format_bytes(needed),
             ", far more than a photo would: make it smaller, or save it with less compression");
}

namespace {

/// What a file that is not read is, if its first bytes tell; else nothing.
std::string_view other_format(std::string_view bytes) {
    struct Start {
        size_t at;
        std::string_view bytes, name;
    };
    static constexpr std::array<Start, 14> starts = {{{0, "GIF8", "GIF"},
                                                      {0, {"II*\0", 4}, "TIFF"},
                                                      {0, {"MM\0*", 4}, "TIFF"},
                                                      {4, "ftypavi", "AVIF"},
                                                      {4, "ftyphe", "HEIC"},
                                                      {4, "ftypmif1", "HEIC"},
                                                      {4, "ftypmsf1", "HEIC"},
                                                      {0, {"\0\0\0\x0cJXL ", 8}, "JPEG XL"},
                                                      {0, "\xff\x0a", "JPEG XL"},
                                                      {0, {"\0\0\0\x0cjP  ", 8}, "JPEG 2000"},
                                                      {0, "8BPS", "Photoshop"},
                                                      {0, "%PDF", "PDF"},
                                                      {0, "<svg", "SVG"},
                                                      {0, "<?xml", "SVG or other XML"}}};
    const auto* const start = std::find_if(starts.begin(), starts.end(), [&](const Start& s) {
        return bytes.size() > s.at && bytes.substr(s.at).starts_with(s.bytes);
    });
    return start == starts.end() ? std::string_view() : start->name;
}

StoredImage decode(const std::filesystem::path& path, std::string_view bytes) {
    if (bytes.empty()) fail(path.string(), ": is empty");
    if (bytes.starts_with(png_signature)) return decode_png(path, bytes);
    if (bytes.starts_with("\xff\xd8")) return decode_jpeg(path, bytes);
    if (bytes.starts_with("BM")) return decode_bmp(path, bytes);
    if (bytes.starts_with("RIFF") && bytes.size() > 12 && bytes.substr(8).starts_with("WEBP"))
        return decode_webp(path, bytes);
    const auto name = other_format(bytes);
    if (name.empty()) fail(path.string(), ": is not a PNG, JPEG or BMP file, nor a WebP file");
    fail(path.string(), ": is not a PNG, JPEG or BMP file, nor a WebP file, but ", name,
         ": convert it first (macOS: sips -s format png FILE --out FILE.png; elsewhere: magick FILE FILE.png)");
}

}  // namespace

Image read_image(const std::filesystem::path& path) {
    uint64_t file_bytes = 0;
    StoredImage stored = [&] {
        const std::string bytes = read_file(path, largest_image_file);
        file_bytes = bytes.size();
        return decode(path, bytes);
    }();
    if (stored.orientation > 1)  // turning takes a second picture
        check_image_cost(path, file_bytes, 2 * static_cast<int64_t>(stored.image.pixels.size()));
    return oriented(std::move(stored.image), stored.orientation);
}

}  // namespace diffapple

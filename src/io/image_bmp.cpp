// BMP files that are not compressed: headers, palette and rows. (No small library that Debian and Homebrew both have
// reads them.)
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "diffapple/core/error.h"
#include "image_formats.h"

namespace diffapple {
namespace {

using Masks = std::array<uint32_t, 3>;  // of red, green and blue

/// The fields of a BMP file's headers (OS/2's of 12 bytes, Windows' of 40 and more).
struct BmpHeader {
    int64_t width, height, bits, compression = 0, palette_entry = 4;
    bool top_down = false;
    uint32_t pixels, info_size;
    Masks masks{};  ///< only of files that say them
};

constexpr int64_t bmp_plain = 0, bmp_masks = 3, bmp_alpha_masks = 6;
constexpr size_t bmp_file_header = 14, bmp_info_header = 40;

uint32_t little_endian(std::string_view bytes, size_t offset, int count) {
    uint32_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
    return value;
}

BmpHeader read_bmp_header(const std::filesystem::path& path, std::string_view bytes) {
    const auto cut_off = [&] { fail(path.string(), ": has a header that is cut off"); };
    if (bytes.size() < bmp_file_header + 12) cut_off();
    BmpHeader header{};
    header.palette_entry = 4;
    header.pixels = little_endian(bytes, 10, 4);
    header.info_size = little_endian(bytes, 14, 4);
    const bool os2 = header.info_size == 12;
    if (!os2 && (header.info_size < bmp_info_header || header.info_size > 124))
        fail(path.string(), ": is a BMP file of a kind that is not read: save it as PNG");
    if (bytes.size() < bmp_file_header + header.info_size) cut_off();
    if (os2) {
        header.width = little_endian(bytes, 18, 2);
        header.height = little_endian(bytes, 20, 2);
        header.bits = little_endian(bytes, 24, 2);
        header.palette_entry = 3;
        return header;
    }
    header.width = little_endian(bytes, 18, 4);
    const auto height = static_cast<int32_t>(little_endian(bytes, 22, 4));
    header.top_down = height < 0;
    header.height = std::abs(static_cast<int64_t>(height));
    header.bits = little_endian(bytes, 28, 2);
    header.compression = little_endian(bytes, 30, 4);
    if (header.compression == bmp_masks || header.compression == bmp_alpha_masks) {
        header.compression = bmp_masks;
        if (bytes.size() < bmp_file_header + bmp_info_header + 12) cut_off();
        for (size_t i = 0; i < 3; ++i)
            header.masks[i] = little_endian(bytes, bmp_file_header + bmp_info_header + 4 * i, 4);
    }
    return header;
}

void check_bmp(const std::filesystem::path& path, const BmpHeader& header, std::string_view bytes) {
    check_image_size(path, header.width, header.height);
    const int64_t bits = header.bits;
    const bool plain = header.compression == bmp_plain && (bits == 1 || bits == 4 || bits == 8 || bits == 24);
    const bool deep =
        (header.compression == bmp_plain || header.compression == bmp_masks) && (bits == 16 || bits == 32);
    if (!plain && !deep)
        fail(path.string(), ": is a BMP file of ", bits, " bits and compression ", header.compression,
             ", a kind that is not read: save it as PNG");
    const int64_t row = (header.width * bits + 31) / 32 * 4, last_row = (header.width * bits + 7) / 8;
    const int64_t end = int64_t{header.pixels} + row * (header.height - 1) + last_row;
    if (header.pixels < bmp_file_header + header.info_size || end > static_cast<int64_t>(bytes.size()))
        fail(path.string(), ": ends before the picture does");
}

using Colour = std::array<uint8_t, 3>;

/// Entries that the file leaves out are black.
std::vector<Colour> bmp_palette(const BmpHeader& header, std::string_view bytes) {
    const size_t begin = bmp_file_header + header.info_size, entry = header.palette_entry;
    const size_t stored = (header.pixels - begin) / entry;
    std::vector<Colour> palette(size_t{1} << header.bits);
    for (size_t i = 0; i < std::min(stored, palette.size()); ++i)
        for (size_t c = 0; c < 3; ++c) palette[i][c] = static_cast<uint8_t>(bytes[begin + entry * i + 2 - c]);
    return palette;
}

void read_palette_row(const BmpHeader& header, const std::vector<Colour>& palette, std::string_view row,
                      uint8_t* target) {
    for (int64_t x = 0; x < header.width; ++x) {
        const int64_t bit = x * header.bits;
        const int shift = static_cast<int>(8 - header.bits - bit % 8);
        const size_t index = static_cast<uint8_t>(row[bit / 8]) >> shift & (palette.size() - 1);
        target = std::copy(palette[index].begin(), palette[index].end(), target);
    }
}

void read_masked_row(const BmpHeader& header, std::string_view row, uint8_t* target) {
    const int count = static_cast<int>(header.bits / 8);
    for (int64_t x = 0; x < header.width; ++x) {
        const uint32_t value = little_endian(row, x * count, count);
        for (const uint32_t mask : header.masks) {
            const int shift = mask ? std::countr_zero(mask) : 0;
            const uint64_t largest = std::max(1U, mask >> shift);
            *target++ = static_cast<uint8_t>(((value & mask) >> shift) * 255 / largest);
        }
    }
}

}  // namespace

StoredImage decode_bmp(const std::filesystem::path& path, std::string_view bytes) {
    BmpHeader header = read_bmp_header(path, bytes);
    check_bmp(path, header, bytes);
    if (header.masks == Masks{})
        header.masks = header.bits == 16 ? Masks{0x7c00, 0x3e0, 0x1f} : Masks{0xff0000, 0xff00, 0xff};
    const int64_t stride = (header.width * header.bits + 31) / 32 * 4;
    const auto palette = header.bits <= 8 ? bmp_palette(header, bytes) : std::vector<Colour>();
    Image image = blank_image(header.width, header.height, 3);
    for (int64_t y = 0; y < header.height; ++y) {
        const auto row = bytes.substr(header.pixels + stride * (header.top_down ? y : header.height - 1 - y));
        uint8_t* const target = &image.pixels[y * header.width * 3];
        header.bits <= 8 ? read_palette_row(header, palette, row, target) : read_masked_row(header, row, target);
    }
    return {std::move(image)};
}

}  // namespace diffapple

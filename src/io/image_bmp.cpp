// BMP files before decoding: size and completeness, and headers brought into one form.
#include <algorithm>
#include <cstdlib>

#include "diffapple/core/error.h"
#include "image_formats.h"

namespace diffapple {
namespace {

/// The fields of a BMP file's headers (OS/2's of 12 bytes, Windows' of 40 and more).
struct BmpHeader {
    int64_t width, height, bits, compression = 0, palette_entry = 4;
    bool top_down = false;
    uint32_t pixels, info_size;
    std::string masks;  ///< of red, green and blue, where the compression is by masks
};

constexpr int64_t bmp_plain = 0, bmp_masks = 3, bmp_alpha_masks = 6;
constexpr size_t bmp_file_header = 14, bmp_info_header = 40;

uint32_t little_endian(std::string_view bytes, size_t offset, int count) {
    uint32_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
    return value;
}

void append_little_endian(std::string& bytes, uint32_t value, int count) {
    for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
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
        fail(path.string(), ": is a BMP file of a kind that is not read");
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
        header.masks = bytes.substr(bmp_file_header + bmp_info_header, 12);
    }
    return header;
}

/// The palette of 2^bits entries of four bytes; entries that the file leaves out are black.
std::string bmp_palette(const BmpHeader& header, std::string_view bytes) {
    const size_t begin = bmp_file_header + header.info_size, entry = header.palette_entry;
    const size_t stored = header.pixels > begin ? (header.pixels - begin) / entry : 0;
    std::string palette(size_t{4} << header.bits, '\0');
    for (size_t i = 0; i < std::min(stored, palette.size() / 4); ++i)
        palette.replace(4 * i, 3, bytes.substr(begin + entry * i, 3));
    return palette;
}

/// The file with headers of the common kind, whatever its own are: for other kinds, and for palettes that are not
/// full, stb_image miscounts or reads entries that nobody wrote.
std::string plain_bmp(const BmpHeader& header, std::string_view bytes) {
    const std::string palette = header.bits <= 8 ? bmp_palette(header, bytes) : std::string();
    const auto offset = static_cast<uint32_t>(bmp_file_header + bmp_info_header + palette.size() + header.masks.size());
    std::string plain = "BM";
    plain.append(8, '\0');  // the file's size and two reserved fields, which nobody reads
    append_little_endian(plain, offset, 4);
    append_little_endian(plain, bmp_info_header, 4);
    append_little_endian(plain, static_cast<uint32_t>(header.width), 4);
    append_little_endian(plain, static_cast<uint32_t>(header.top_down ? -header.height : header.height), 4);
    append_little_endian(plain, 1, 2);  // planes
    append_little_endian(plain, static_cast<uint32_t>(header.bits), 2);
    append_little_endian(plain, static_cast<uint32_t>(header.compression), 4);
    plain.append(20, '\0');  // sizes and resolutions
    plain.append(header.masks).append(palette).append(bytes.substr(header.pixels));
    return plain;
}

}  // namespace

CheckedImage check_bmp(const std::filesystem::path& path, std::string_view bytes) {
    const BmpHeader header = read_bmp_header(path, bytes);
    check_image_size(path, header.width, header.height);
    const int64_t bits = header.bits;
    const bool plain = header.compression == bmp_plain && (bits == 1 || bits == 4 || bits == 8 || bits == 24);
    const bool deep =
        (header.compression == bmp_plain || header.compression == bmp_masks) && (bits == 16 || bits == 32);
    if (!plain && !deep)
        fail(path.string(), ": is a BMP file of ", bits, " bits and compression ", header.compression,
             ", a kind that is not read");
    const int64_t row = (header.width * bits + 31) / 32 * 4, last_row = (header.width * bits + 7) / 8;
    const int64_t end = int64_t{header.pixels} + row * (header.height - 1) + last_row;
    if (header.pixels < bmp_file_header + header.info_size || end > static_cast<int64_t>(bytes.size()))
        fail(path.string(), ": ends before the picture does");
    return {header.width, header.height, false, false, 1, plain_bmp(header, bytes)};
}

}  // namespace diffapple

// 8-bit pictures in memory, and reading them from PNG, JPEG, WebP and BMP files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace diffapple {

/// 8-bit picture, rows from the top, channels interleaved (1 grey, 3 RGB, 4 RGBA).
struct Image {
    int64_t width = 0, height = 0, channels = 0;
    std::vector<uint8_t> pixels;

    bool operator==(const Image&) const = default;
};

/// A black picture.
Image blank_image(int64_t width, int64_t height, int64_t channels);

/// What a picture file may claim at most; checked before its pixels get memory.
constexpr int64_t largest_image_side = 16384;
constexpr int64_t largest_image_pixels = 100'000'000;
constexpr uintmax_t largest_image_file = 256 << 20;

/// Reads a PNG, JPEG, WebP (of an animation, the first picture) or BMP file as diffusers' load_image does (Pillow: EXIF
/// orientation applied, then convert("RGB")), but for grey PNG and JPEG files, which stay at one channel. So alpha and
/// tRNS are dropped, not blended; palettes become RGB; 16-bit colour keeps its high byte, and 16-bit grey is cut at
/// 255, as Pillow does; CMYK is multiplied out. The values are Pillow's (docs/fidelity.md).
/// Throws Error, naming the file, for what is not such a file, is cut off or damaged, or claims more than the limits.
Image read_image(const std::filesystem::path& path);

/// Three channels: grey is repeated, alpha dropped.
Image to_rgb(const Image& image);

/// One channel: ITU-R 601-2 luma in Pillow's integers, (19595 R + 38470 G + 7471 B + 2^15) >> 16.
Image to_grey(const Image& image);

/// The part [left, right) x [top, bottom), which may reach beyond the picture: there it is black.
Image crop(const Image& image, int64_t left, int64_t top, int64_t right, int64_t bottom);

/// Copies a picture of as many channels onto another with its corner at (left, top); what is outside is left out.
void paste(Image& onto, const Image& picture, int64_t left, int64_t top);

}  // namespace diffapple

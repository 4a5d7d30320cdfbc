// What is checked in a PNG, JPEG or BMP file before stb_image decodes it. Private to the io layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace diffapple {

/// A picture file that is complete and keeps to the limits (diffapple/io/image.h).
struct CheckedImage {
    int64_t width, height;
    bool grey;            ///< decode to one channel, else to three
    bool grey16 = false;  ///< grey of 16 bits
    int orientation = 1;  ///< EXIF
    std::string bytes;    ///< the file for stb_image; a PNG or BMP in a plain form that it decodes as Pillow does
};

/// Each throws Error naming the file for what is cut off, damaged, too large or of a kind that is not read.
CheckedImage check_png(const std::filesystem::path& path, std::string_view bytes);
CheckedImage check_jpeg(const std::filesystem::path& path, std::string_view bytes);
CheckedImage check_bmp(const std::filesystem::path& path, std::string_view bytes);

/// Throws Error for a size outside the limits.
void check_image_size(const std::filesystem::path& path, int64_t width, int64_t height);

}  // namespace diffapple

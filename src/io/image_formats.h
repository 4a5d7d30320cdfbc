// The decoders of picture files, one a format. Private to the io layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "diffapple/io/image.h"

namespace diffapple {

/// A picture as its file stores it, and how it is to be turned for showing.
struct StoredImage {
    Image image;          ///< 1 channel for grey files, else 3
    int orientation = 1;  ///< as EXIF counts; what is not 2 to 8 says nothing
};

/// Each throws Error naming the file for what is cut off, damaged, too large or of a kind that is not read.
StoredImage decode_png(const std::filesystem::path& path, std::string_view bytes);
StoredImage decode_jpeg(const std::filesystem::path& path, std::string_view bytes);
StoredImage decode_bmp(const std::filesystem::path& path, std::string_view bytes);
StoredImage decode_webp(const std::filesystem::path& path, std::string_view bytes);

/// Throws Error for a size outside the limits.
void check_image_size(const std::filesystem::path& path, int64_t width, int64_t height);

/// A file may ask for 350 MB, or for a hundred times its own size: no photo asks for more, and a small file that does
/// is made to exhaust memory or time. Throws Error where `needed`, the bytes that decoding unpacks or keeps, are more.
void check_image_cost(const std::filesystem::path& path, uint64_t file_bytes, int64_t needed);

}  // namespace diffapple

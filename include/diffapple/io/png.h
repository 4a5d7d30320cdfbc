// PNG files: 8-bit pictures with text chunks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "diffapple/io/image.h"

namespace diffapple {

/// A PNG text chunk; both parts UTF-8. The keyword is 1 to 79 Latin-1 characters.
struct TextChunk {
    std::string keyword, text;
};

/// Encodes a PNG (pixels by stb_image_write, compressed with zlib). Text goes before the pixels: tEXt when it is
/// Latin-1 (without control characters other than newline), else iTXt.
std::vector<std::byte> encode_png(const Image& image, const std::vector<TextChunk>& text);

/// Width, height and text chunks (tEXt, zTXt, iTXt) of a PNG file, without decoding the picture. Checks signature,
/// chunk lengths and CRCs; reads at most 16 MiB of text; throws Error naming the file.
struct PngInfo {
    int64_t width = 0, height = 0;
    std::vector<TextChunk> text;
};
PngInfo read_png_info(const std::filesystem::path& path);

}  // namespace diffapple

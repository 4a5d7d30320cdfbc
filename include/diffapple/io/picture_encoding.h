// Pictures as files of the kinds that are written: PNG, JPEG, WebP.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "diffapple/io/png.h"

namespace diffapple {

/// The endings of names, and the kinds of picture: "png", "jpg", "webp".
const std::vector<std::string>& picture_formats();

/// The bytes of a picture's file, of the kind that the ending of its name says (.jpg or .jpeg, .webp, else PNG). JPEG
/// has quality 95 and whole colours (4:4:4), WebP is lossless. `text` has own_text_keyword and "parameters"; in JPEG
/// and WebP the first goes to XMP, the second to EXIF's UserComment, as A1111 does it.
std::vector<std::byte> encode_picture(const std::filesystem::path& path, const Image& image,
                                      const std::vector<TextChunk>& text);

/// The picture as a file of that kind gives it back: JPEG loses something.
Image as_stored(const std::filesystem::path& path, const Image& image);

}  // namespace diffapple

// What a PNG, JPEG or WebP file says beside its pixels.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "diffapple/io/png.h"

namespace diffapple {

/// Keyword of the text that this program keeps for itself; in JPEG and WebP files it stands in XMP.
constexpr const char* own_text_keyword = "diffapple";

/// Size (as shown, turned as EXIF says) and texts of a picture, without decoding it: of a PNG as read_png_info; of JPEG
/// and WebP, EXIF's "UserComment", "ImageDescription", "Software", "Make" and "Model", JPEG's "Comment", the XMP packet
/// as "XML:com.adobe.xmp", and this program's texts under the keywords that a PNG has for them. Throws Error naming the
/// file for other files, and for damaged ones.
PngInfo read_picture_info(const std::filesystem::path& path);

/// The reverse of escape_markup (core/text.h), with numbered entities; what is none stays as it is.
std::string unescape_markup(std::string_view text);

}  // namespace diffapple

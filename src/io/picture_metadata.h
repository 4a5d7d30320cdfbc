// EXIF and XMP as far as they hold texts, read and written. Private to the io layer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "diffapple/io/png.h"

namespace diffapple {

/// The texts in an EXIF block (a TIFF file), by the names of their tags. Malformed ones are left out.
std::vector<TextChunk> exif_texts(std::string_view tiff);

/// An EXIF block with a UserComment.
std::string exif_with_comment(const std::string& text);

/// An XMP packet with this program's text, and that text of a packet; "" where it has none.
std::string xmp_with_own_text(const std::string& text);
std::string own_text_of_xmp(std::string_view xmp);

/// How blocks begin in JPEG files.
constexpr std::string_view exif_mark{"Exif\0\0", 6}, xmp_mark{"http://ns.adobe.com/xap/1.0/\0", 29},
    own_mark{"diffapple\0", 10};  // own text that is too long for one segment of XMP

}  // namespace diffapple

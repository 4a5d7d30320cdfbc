// The one value of EXIF and XMP that matters here. Private to the io layer. (libexif would bring a library that
// Homebrew and Debian carry, and hundreds of decoded tags, for this one number.)
#pragma once

#include <optional>
#include <string_view>

#include "diffapple/io/image.h"

namespace diffapple {

/// The orientation, 1 to 8, in an EXIF block (a TIFF file: "II" or "MM", 42, the first directory). 1 where it makes no
/// sense: then Pillow shows the picture as it is stored, too. Nothing where there is none, or the block is malformed.
std::optional<int> exif_orientation(std::string_view tiff);

/// The orientation in XMP, found as Pillow finds it. It counts where EXIF has none.
std::optional<int> xmp_orientation(std::string_view xmp);

/// Turns and mirrors a picture as the orientation says it is to be shown.
Image oriented(Image image, int orientation);

}  // namespace diffapple

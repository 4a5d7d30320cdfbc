// A reader of the first directory of a TIFF structure, every offset checked; turning a picture as it says.
#include "exif.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace diffapple {
namespace {

class TiffBytes {
public:
    explicit TiffBytes(std::string_view bytes) : bytes_(bytes), big_endian_(bytes.substr(0, 2) == "MM") {}

    bool has(uint64_t offset, uint64_t count) const {
        return offset <= bytes_.size() && count <= bytes_.size() - offset;
    }
    /// The number in `count` bytes, which must be there.
    uint32_t number(uint64_t offset, int count) const {
        uint32_t value = 0;
        for (int i = 0; i < count; ++i) {
            const auto byte = static_cast<unsigned char>(bytes_[offset + i]);
            value |= uint32_t{byte} << 8 * (big_endian_ ? count - 1 - i : i);
        }
        return value;
    }

private:
    std::string_view bytes_;
    bool big_endian_;
};

/// Bytes of an integer of a TIFF type; 0 for the types that Pillow does not take for an integer.
int integer_size(uint32_t type) {
    constexpr uint32_t short_ = 3, long_ = 4;
    return type == short_ ? 2 : type == long_ ? 4 : 0;
}

}  // namespace

std::optional<int> exif_orientation(std::string_view tiff) {
    constexpr uint32_t orientation_tag = 0x0112, magic = 42;
    constexpr uint64_t entry_size = 12;
    const TiffBytes bytes(tiff);
    const bool known = tiff.starts_with("II") || tiff.starts_with("MM");
    if (!known || !bytes.has(0, 8) || bytes.number(2, 2) != magic) return {};
    const uint64_t directory = bytes.number(4, 4);
    if (!bytes.has(directory, 2)) return {};
    const uint32_t entries = bytes.number(directory, 2);
    for (uint64_t i = 0, entry = directory + 2; i < entries && bytes.has(entry, entry_size); ++i, entry += entry_size) {
        if (bytes.number(entry, 2) != orientation_tag) continue;
        const int size = integer_size(bytes.number(entry + 2, 2));
        if (size == 0 || bytes.number(entry + 4, 4) != 1) return 1;
        const uint32_t value = bytes.number(entry + 8, size);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return {};
}

std::optional<int> xmp_orientation(std::string_view xmp) {
    constexpr std::string_view name = "tiff:Orientation";
    for (size_t at = xmp.find(name); at != std::string_view::npos; at = xmp.find(name, at + 1)) {
        std::string_view rest = xmp.substr(at + name.size());
        const size_t before = rest.starts_with("=\"") ? 2 : rest.starts_with(">") ? 1 : 0;
        if (before && rest.size() > before && rest[before] >= '0' && rest[before] <= '9') return rest[before] - '0';
    }
    return {};
}

Image oriented(Image image, int orientation) {
    if (orientation < 2 || orientation > 8) return image;
    const bool transpose = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const auto [width, height, channels] = std::array{image.width, image.height, image.channels};
    Image turned = blank_image(transpose ? height : width, transpose ? width : height, channels);
    uint8_t* target = turned.pixels.data();
    for (int64_t y = 0; y < turned.height; ++y) {
        for (int64_t x = 0; x < turned.width; ++x, target += channels) {
            const int64_t column = transpose ? y : x, row = transpose ? x : y;
            const int64_t from_x = from_right ? width - 1 - column : column;
            const int64_t from_y = from_bottom ? height - 1 - row : row;
            std::copy_n(&image.pixels[(from_y * width + from_x) * channels], channels, target);
        }
    }
    return turned;
}

}  // namespace diffapple

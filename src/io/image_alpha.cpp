#include "diffapple/io/image_alpha.h"

#include <array>
#include <string_view>

#include "file_descriptor.h"
#include "png_chunks.h"

namespace diffapple {
namespace {

/// The kind of colour stands in the first chunk: 4 is grey with alpha, 6 is RGBA.
bool png_has_alpha(std::string_view bytes) {
    constexpr size_t colour_type = 25;
    return bytes.size() > colour_type && (bytes[colour_type] == 4 || bytes[colour_type] == 6);
}

/// "VP8X" has flags; "VP8L" has a bit behind two sizes of 14 bits.
bool webp_has_alpha(std::string_view bytes) {
    constexpr size_t chunk = 12, content = 20, lossless_bits = content + 4;
    constexpr int of_extended = 0x10, of_lossless = 0x10;
    if (bytes.size() <= lossless_bits) return false;
    if (bytes.substr(chunk).starts_with("VP8X")) return (bytes[content] & of_extended) != 0;
    return bytes.substr(chunk).starts_with("VP8L") && (bytes[lossless_bits] & of_lossless) != 0;
}

}  // namespace

bool has_alpha(const std::filesystem::path& path) {
    std::array<char, 64> buffer;
    const FileDescriptor file = FileDescriptor::open_for_reading(path);
    const std::string_view bytes(buffer.data(), file.read(buffer.data(), buffer.size(), path));
    if (bytes.starts_with(png_signature)) return png_has_alpha(bytes);
    return bytes.starts_with("RIFF") && webp_has_alpha(bytes);
}

}  // namespace diffapple

#include "diffapple/io/picture_info.h"

#include <webp/decode.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "diffapple/core/error.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/files.h"
#include "exif.h"
#include "file_descriptor.h"
#include "image_formats.h"
#include "picture_metadata.h"
#include "png_chunks.h"

namespace diffapple {
namespace {

constexpr const char* xmp_keyword = "XML:com.adobe.xmp";

/// What a file's blocks say, in the order in which texts are shown.
struct Blocks {
    int64_t width = 0, height = 0;
    std::string exif, xmp, comment, own;
};

PngInfo info_of(const std::filesystem::path& path, const Blocks& blocks) {
    check_image_size(path, blocks.width, blocks.height);
    PngInfo info{.width = blocks.width, .height = blocks.height, .text = exif_texts(blocks.exif)};
    const int orientation = exif_orientation(blocks.exif).value_or(xmp_orientation(blocks.xmp).value_or(1));
    if (orientation >= 5 && orientation <= 8) std::swap(info.width, info.height);
    if (!blocks.comment.empty()) info.text.push_back({"Comment", blocks.comment});
    const std::string own = blocks.own.empty() ? own_text_of_xmp(blocks.xmp) : blocks.own;
    if (own.empty()) {
        if (!blocks.xmp.empty()) info.text.push_back({xmp_keyword, valid_utf8(blocks.xmp)});
        return info;
    }
    for (TextChunk& chunk : info.text)
        if (chunk.keyword == "UserComment") chunk.keyword = "parameters";
    info.text.push_back({own_text_keyword, own});
    return info;
}

/// Walks over the segments in front of the first scan.
Blocks read_jpeg_blocks(const std::filesystem::path& path, std::string_view bytes) {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(bytes[at]); };
    const auto number = [&](size_t at) { return byte(at) << 8 | byte(at + 1); };
    Blocks blocks;
    constexpr int first_frame = 0xc0, last_frame = 0xcf, scan = 0xda, application = 0xe1, comment = 0xfe;
    for (size_t at = 2; at + 4 <= bytes.size();) {
        if (byte(at) != 0xff) fail(path.string(), ": is damaged: a JPEG segment does not begin where it should");
        const int marker = byte(at + 1);
        if (marker == 0xff) {  // padding
            ++at;
            continue;
        }
        const auto length = static_cast<size_t>(number(at + 2));
        if (length < 2 || at + 2 + length > bytes.size()) break;
        const std::string_view data = bytes.substr(at + 4, length - 2);
        const bool frame = marker >= first_frame && marker <= last_frame && marker % 4 != 0;
        if ((frame || marker == first_frame) && data.size() >= 5) {
            blocks.height = number(at + 5);
            blocks.width = number(at + 7);
        }
        if (marker == application && data.starts_with(exif_mark)) blocks.exif += data.substr(exif_mark.size());
        if (marker == application && data.starts_with(xmp_mark)) blocks.xmp = data.substr(xmp_mark.size());
        if (marker == application && data.starts_with(own_mark)) blocks.own += data.substr(own_mark.size());
        if (marker == comment) blocks.comment = valid_utf8(data.substr(0, data.find('\0')));
        if (marker == scan) return blocks;
        at += 2 + length;
    }
    fail(path.string(), ": ends before the picture does");
}

Blocks read_webp_blocks(const std::filesystem::path& path, std::string_view bytes) {
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &features) != VP8_STATUS_OK)
        fail(path.string(), ": is damaged: it has no proper WebP header");
    Blocks blocks;
    blocks.width = features.width;
    blocks.height = features.height;
    constexpr size_t header = 8;
    for (size_t at = 12; at + header <= bytes.size();) {
        uint64_t length = 0;
        for (size_t i = 0; i < 4; ++i) length |= uint64_t{static_cast<unsigned char>(bytes[at + 4 + i])} << 8 * i;
        if (length > bytes.size() - at - header) fail(path.string(), ": ends before the picture does");
        const std::string_view name = bytes.substr(at, 4), data = bytes.substr(at + header, length);
        if (name == "EXIF") blocks.exif = data.starts_with(exif_mark) ? data.substr(exif_mark.size()) : data;
        if (name == "XMP ") blocks.xmp = data;
        at += header + length + length % 2;
    }
    return blocks;
}

/// Of "&lt;", "&#39;" and "&#x27;" at the start of a text: the character, and how long the entity is; 0 for no entity.
std::pair<std::string, size_t> entity(std::string_view text) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 5> names{
        {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}}};
    for (const auto& [name, character] : names)
        if (text.starts_with(name)) return {std::string(character), name.size()};
    constexpr size_t longest = 10;
    const size_t end = text.substr(0, longest).find(';');
    if (!text.starts_with("&#") || end == std::string_view::npos) return {"", 0};
    const bool hexadecimal = text[2] == 'x' || text[2] == 'X';
    const std::string digits(text.substr(hexadecimal ? 3 : 2, end - (hexadecimal ? 3 : 2)));
    char* parsed = nullptr;
    const unsigned long value = std::strtoul(digits.c_str(), &parsed, hexadecimal ? 16 : 10);
    if (digits.empty() || *parsed != '\0') return {"", 0};
    return {encode_utf8(static_cast<char32_t>(value)), end + 1};
}

std::string first_bytes(const std::filesystem::path& path) {
    std::array<char, png_signature.size()> bytes;
    const FileDescriptor file = FileDescriptor::open_for_reading(path);
    return {bytes.data(), file.read(bytes.data(), bytes.size(), path)};
}

}  // namespace

std::string unescape_markup(std::string_view text) {
    std::string plain;
    while (!text.empty()) {
        const auto [character, length] = text.front() == '&' ? entity(text) : std::pair<std::string, size_t>{};
        plain += length > 0 ? std::string_view(character) : text.substr(0, 1);
        text.remove_prefix(std::max<size_t>(length, 1));
    }
    return plain;
}

PngInfo read_picture_info(const std::filesystem::path& path) {
    if (first_bytes(path).starts_with(png_signature)) return read_png_info(path);  // without its pixels
    const std::string bytes = read_file(path, largest_image_file);
    if (bytes.starts_with("\xff\xd8")) return info_of(path, read_jpeg_blocks(path, bytes));
    if (bytes.starts_with("RIFF") && bytes.size() > 12 && bytes.compare(8, 4, "WEBP") == 0)
        return info_of(path, read_webp_blocks(path, bytes));
    return read_png_info(path);
}

}  // namespace diffapple

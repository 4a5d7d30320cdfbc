// EXIF's text tags and XMP. Every offset in a file is a claim, and is checked.
#include "picture_metadata.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/picture_info.h"

namespace diffapple {
namespace {

/// A TIFF structure's numbers.
class TiffFile {
public:
    explicit TiffFile(std::string_view bytes) : bytes_(bytes), big_endian_(bytes.starts_with("MM")) {}

    bool valid() const {
        constexpr uint32_t magic = 42;
        return (bytes_.starts_with("II") || big_endian_) && has(0, 8) && number(2, 2) == magic;
    }
    bool has(uint64_t offset, uint64_t count) const {
        return offset <= bytes_.size() && count <= bytes_.size() - offset;
    }
    uint32_t number(uint64_t offset, int count) const {
        uint32_t value = 0;
        for (int i = 0; i < count; ++i) {
            const uint32_t byte = static_cast<unsigned char>(bytes_[offset + static_cast<uint64_t>(i)]);
            value |= byte << 8 * (big_endian_ ? count - 1 - i : i);
        }
        return value;
    }
    std::string_view part(uint64_t offset, uint64_t count) const { return bytes_.substr(offset, count); }
    bool big_endian() const { return big_endian_; }

private:
    std::string_view bytes_;
    bool big_endian_;
};

std::string from_utf16(std::string_view bytes, bool big_endian) {
    std::u32string text;
    const auto unit = [&](size_t i) -> uint32_t {
        const uint32_t first = static_cast<unsigned char>(bytes[i]), second = static_cast<unsigned char>(bytes[i + 1]);
        return big_endian ? first << 8 | second : second << 8 | first;
    };
    constexpr uint32_t high = 0xd800, low = 0xdc00, end = 0xe000;
    for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
        uint32_t value = unit(i);
        if (value >= high && value < low && i + 3 < bytes.size()) {
            const uint32_t next = unit(i + 2);
            if (next >= low && next < end) value = 0x10000 + ((value - high) << 10) + (next - low), i += 2;
        }
        text += static_cast<char32_t>(value);
    }
    return encode_utf8(text);
}

/// Programs do not agree on the order of bytes. Letters of most languages have a zero, or the smaller one, in front.
std::string from_unmarked_utf16(std::string_view bytes, bool file_is_big_endian) {
    if (bytes.starts_with("\xfe\xff")) return from_utf16(bytes.substr(2), true);
    if (bytes.starts_with("\xff\xfe")) return from_utf16(bytes.substr(2), false);
    size_t zeros_first = 0, zeros_second = 0;
    for (size_t i = 0; i + 1 < bytes.size(); i += 2) zeros_first += bytes[i] == 0, zeros_second += bytes[i + 1] == 0;
    return from_utf16(bytes, zeros_first == zeros_second ? file_is_big_endian : zeros_first > zeros_second);
}

std::string text_of_bytes(std::string_view bytes) {
    const std::string_view text = bytes.substr(0, bytes.find('\0'));
    return is_utf8(text) ? std::string(text) : latin1_to_utf8(text);
}

/// It begins with eight bytes that name its encoding.
std::string user_comment(std::string_view bytes, bool big_endian) {
    constexpr size_t code = 8;
    if (bytes.size() < code) return text_of_bytes(bytes);
    if (bytes.starts_with("UNICODE")) return from_unmarked_utf16(bytes.substr(code), big_endian);
    const bool coded = bytes.starts_with("ASCII") || bytes.front() == '\0';
    return text_of_bytes(coded ? bytes.substr(code) : bytes);
}

constexpr uint32_t exif_directory_tag = 0x8769, user_comment_tag = 0x9286;

void read_directory(const TiffFile& file, uint64_t directory, std::vector<TextChunk>& texts, int depth) {
    static const std::map<uint32_t, std::string> names{
        {0x010e, "ImageDescription"}, {0x010f, "Make"}, {0x0110, "Model"}, {0x0131, "Software"}};
    constexpr uint64_t entry_size = 12;
    constexpr uint32_t byte = 1, ascii = 2, long_ = 4, undefined = 7;
    if (depth > 1 || !file.has(directory, 2)) return;
    const uint32_t entries = file.number(directory, 2);
    for (uint64_t i = 0, entry = directory + 2; i < entries && file.has(entry, entry_size); ++i, entry += entry_size) {
        const uint32_t tag = file.number(entry, 2), type = file.number(entry + 2, 2);
        const uint64_t count = file.number(entry + 4, 4), value = file.number(entry + 8, 4);
        if (tag == exif_directory_tag && type == long_) read_directory(file, value, texts, depth + 1);
        if (type != byte && type != ascii && type != undefined) continue;
        const uint64_t offset = count <= 4 ? entry + 8 : value;
        if (!file.has(offset, count)) continue;
        const std::string_view bytes = file.part(offset, count);
        if (tag == user_comment_tag)
            texts.push_back({"UserComment", user_comment(bytes, file.big_endian())});
        else if (const auto name = names.find(tag); name != names.end())
            texts.push_back({name->second, text_of_bytes(bytes)});
    }
}

void append_number(std::string& bytes, uint32_t value, int count) {
    for (int i = count - 1; i >= 0; --i) bytes += static_cast<char>(value >> 8 * i & 0xff);
}

std::string to_utf16(const std::string& text) {
    std::string bytes;
    for (const char32_t c : decode_utf8(text)) {
        const auto value = static_cast<uint32_t>(c);
        if (value >= 0x10000) append_number(bytes, 0xd800 + ((value - 0x10000) >> 10), 2);
        append_number(bytes, value < 0x10000 ? value : 0xdc00 + ((value - 0x10000) & 0x3ff), 2);
    }
    return bytes;
}

constexpr std::string_view own_opening = "<diffapple:recipe>", own_closing = "</diffapple:recipe>";

}  // namespace

std::vector<TextChunk> exif_texts(std::string_view tiff) {
    std::vector<TextChunk> texts;
    const TiffFile file(tiff);
    if (file.valid()) read_directory(file, file.number(4, 4), texts, 0);
    return texts;
}

std::string exif_with_comment(const std::string& text) {
    const std::string comment = std::string("UNICODE\0", 8) + to_utf16(text);
    constexpr uint32_t first = 8, second = first + 2 + 12 + 4, content = second + 2 + 12 + 4, long_ = 4, undefined = 7;
    std::string tiff("MM\0*", 4);
    const auto directory = [&](uint32_t tag, uint32_t type, uint32_t count, uint32_t value) {
        append_number(tiff, 1, 2);
        append_number(tiff, tag, 2);
        append_number(tiff, type, 2);
        append_number(tiff, count, 4);
        append_number(tiff, value, 4);
        append_number(tiff, 0, 4);
    };
    append_number(tiff, first, 4);
    directory(exif_directory_tag, long_, 1, second);
    directory(user_comment_tag, undefined, static_cast<uint32_t>(comment.size()), content);
    return tiff + comment;
}

std::string xmp_with_own_text(const std::string& text) {
    return concat(
        "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\">"
        "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description rdf:about=\"\" "
        "xmlns:diffapple=\"urn:diffapple\">",
        own_opening, escape_markup(text), own_closing, "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"w\"?>");
}

std::string own_text_of_xmp(std::string_view xmp) {
    const size_t opening = xmp.find(own_opening);
    if (opening == std::string_view::npos) return "";
    const size_t begin = opening + own_opening.size(), end = xmp.find(own_closing, begin);
    return end == std::string_view::npos ? "" : unescape_markup(xmp.substr(begin, end - begin));
}

}  // namespace diffapple

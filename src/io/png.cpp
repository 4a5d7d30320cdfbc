// PNG writing (stb_image_write plus our text chunks) and reading of a PNG's size and text.
#include "diffapple/io/png.h"

#include <stb_image_write.h>

#include <algorithm>
#include <climits>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "mapped_file.h"
#include "png_chunks.h"

namespace diffapple {
namespace {

constexpr size_t header_end = 8 + 12 + 13;  // signature and IHDR chunk
constexpr size_t largest_text = 16 << 20;

// ---- Writing

/// Characters that a tEXt chunk may hold.
bool is_latin1_text(char32_t c) {
    return c == '\n' || (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c <= 0xff);
}

std::string to_latin1(const std::u32string& code_points) {
    std::string text;
    for (const char32_t code_point : code_points) text += static_cast<char>(code_point);
    return text;
}

void append_text(std::string& png, std::string_view type, std::string_view data) {
    if (data.size() > largest_text) fail("PNG text is larger than ", largest_text, " bytes");
    append_png_chunk(png, type, data);
}

void append_text_chunk(std::string& png, const TextChunk& chunk) {
    const std::u32string keyword = decode_utf8(chunk.keyword), text = decode_utf8(chunk.text);
    const auto may_be_in_keyword = [](char32_t c) { return c != '\n' && is_latin1_text(c); };
    if (keyword.empty() || keyword.size() > 79 || keyword.front() == ' ' || keyword.back() == ' ' ||
        !std::all_of(keyword.begin(), keyword.end(), may_be_in_keyword)) {
        fail("PNG keyword ", quote(chunk.keyword), " is not 1 to 79 Latin-1 characters without outer spaces");
    }
    if (!is_utf8(chunk.text) || text.find(U'\0') != std::u32string::npos) {
        fail("PNG text of ", quote(chunk.keyword), " is not UTF-8 text without NUL characters");
    }
    std::string data = to_latin1(keyword) + '\0';
    if (std::all_of(text.begin(), text.end(), is_latin1_text)) {
        append_text(png, "tEXt", data + to_latin1(text));
    } else {
        data.append(4, '\0');  // not compressed, method 0, no language tag, no translated keyword
        append_text(png, "iTXt", data + chunk.text);
    }
}

void check_image(const Image& image) {
    const auto& [width, height, channels, pixels] = image;
    if (channels != 1 && channels != 3 && channels != 4) fail("a PNG cannot have ", channels, " channels");
    // stb_image_write counts bytes in int: one filter byte per row, and up to 1/1000 more after compression.
    constexpr int64_t limit = INT_MAX - INT_MAX / 500;
    const bool fits = width > 0 && height > 0 && width < INT_MAX / channels && height <= limit / (width * channels + 1);
    if (!fits) fail("a PNG of ", width, "x", height, " pixels cannot be written");
    if (pixels.size() != static_cast<uint64_t>(width * height * channels)) {
        fail("a picture of ", width, "x", height, "x", channels, " has ", pixels.size(), " bytes of pixels");
    }
}

void append_bytes(void* bytes, void* data, int size) {
    static_cast<std::string*>(bytes)->append(static_cast<const char*>(data), static_cast<size_t>(size));
}

std::string encode_pixels(const Image& image) {
    check_image(image);
    const auto width = static_cast<int>(image.width), channels = static_cast<int>(image.channels);
    std::string png;
    const int ok = stbi_write_png_to_func(append_bytes, &png, width, static_cast<int>(image.height), channels,
                                          image.pixels.data(), width * channels);
    if (!ok || png.size() < header_end || !png.starts_with(png_signature) || png.substr(12, 4) != "IHDR") {
        fail("cannot encode a PNG of ", image.width, "x", image.height, " pixels: out of memory?");
    }
    return png;
}

// ---- Reading

/// Decodes text chunks and counts what they take.
class TextReader {
public:
    explicit TextReader(const PngChunks& chunks) : chunks_(chunks) {}

    TextChunk read(const PngChunks::Chunk& chunk) {
        std::string_view rest = chunk.data;
        TextChunk result{latin1_to_utf8(take_until_nul(rest)), {}};
        if (result.keyword.empty() || result.keyword.size() > size_t{2} * 79) reject();
        if (chunk.type == "tEXt") {
            count(rest.size());
            result.text = latin1_to_utf8(rest);
        } else if (chunk.type == "zTXt") {
            if (rest.empty() || rest[0] != 0) reject();
            result.text = latin1_to_utf8(inflate(rest.substr(1)));
        } else {
            result.text = read_international(rest);
        }
        return result;
    }

private:
    [[noreturn]] void reject() const { chunks_.reject("has a malformed text chunk"); }

    void count(size_t bytes) {
        total_ += bytes;
        if (total_ > largest_text) chunks_.reject(concat("has more than ", largest_text, " bytes of text"));
    }

    std::string_view take_until_nul(std::string_view& rest) const {
        const size_t end = rest.find('\0');
        if (end == std::string_view::npos) reject();
        const std::string_view taken = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        return taken;
    }

    /// The part of an iTXt chunk after its keyword.
    std::string read_international(std::string_view rest) {
        if (rest.size() < 2 || rest[0] < 0 || rest[0] > 1 || rest[1] != 0) reject();
        const bool compressed = rest[0] == 1;
        rest.remove_prefix(2);
        take_until_nul(rest);  // language tag
        take_until_nul(rest);  // translated keyword
        if (!compressed) count(rest.size());
        std::string text = compressed ? inflate(rest) : std::string(rest);
        if (!is_utf8(text)) reject();
        return text;
    }

    std::string inflate(std::string_view data) {
        std::string text;
        const Unpacking result = unpack(data, [&](std::string_view piece) {
            count(piece.size());
            text += piece;
        });
        if (result == Unpacking::out_of_memory) chunks_.reject("has compressed text, which zlib cannot read");
        if (result != Unpacking::done) reject();
        return text;
    }

    const PngChunks& chunks_;
    size_t total_ = 0;
};

}  // namespace

std::vector<std::byte> encode_png(const Image& image, const std::vector<TextChunk>& text) {
    const std::string pixels = encode_pixels(image);
    std::string png = pixels.substr(0, header_end);
    for (const TextChunk& chunk : text) append_text_chunk(png, chunk);
    png.append(pixels, header_end);
    const auto bytes = std::as_bytes(std::span(png));
    return {bytes.begin(), bytes.end()};
}

namespace {

PngInfo read_info(PngChunks chunks) {
    const auto header = chunks.next();
    if (header.type != "IHDR" || header.data.size() != 13) chunks.reject("is not a PNG file: it has no header chunk");
    PngInfo info;
    info.width = PngChunks::big_endian(header.data);
    info.height = PngChunks::big_endian(header.data.substr(4));
    if (info.width < 1 || info.height < 1 || info.width > largest_png_length || info.height > largest_png_length) {
        chunks.reject("has a picture of an impossible size");
    }
    TextReader reader(chunks);
    bool pixels = false;
    for (auto chunk = chunks.next(); chunk.type != "IEND"; chunk = chunks.next()) {
        pixels |= chunk.type == "IDAT";
        if (chunk.type == "tEXt" || chunk.type == "zTXt" || chunk.type == "iTXt")
            info.text.push_back(reader.read(chunk));
    }
    if (!pixels) chunks.reject("has no picture in it");
    return info;
}

}  // namespace

PngInfo read_png_info(const std::filesystem::path& path) {
    const MappedFile file(path);
    return file.intact([&] { return read_info({path, {reinterpret_cast<const char*>(file.data()), file.size()}}); });
}

}  // namespace diffapple

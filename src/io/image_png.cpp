// PNG files before decoding. stb_image checks neither checksums nor how much a compressed stream unpacks to, and reads
// palette entries that were never written; so the stream is unpacked once for counting, and stb_image gets a file with
// the necessary chunks only.
#include "diffapple/io/image.h"
#include "exif.h"
#include "image_formats.h"
#include "png_chunks.h"

namespace diffapple {
namespace {

constexpr int palette_colour = 3;

/// The fields of the header chunk.
struct PngHeader {
    int64_t width, height;
    int depth, colour;
    bool interlaced;

    int channels() const { return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1; }
    bool grey() const { return colour == 0 || colour == 4; }
    bool known() const {
        const bool small = depth == 1 || depth == 2 || depth == 4, byte = depth == 8;
        switch (colour) {
            case 0:
                return small || byte || depth == 16;
            case palette_colour:
                return small || byte;
            case 2:
            case 4:
            case 6:
                return byte || depth == 16;
            default:
                return false;
        }
    }
    /// Bytes of the unpacked stream of one rectangle: its rows, each with a filter byte.
    int64_t rows(int64_t columns, int64_t lines) const {
        return columns && lines ? ((columns * channels() * depth + 7) / 8 + 1) * lines : 0;
    }
    int64_t unpacked() const {
        if (!interlaced) return rows(width, height);
        struct Pass {
            int64_t x, y, dx, dy;
        };
        constexpr std::array<Pass, 7> adam7 = {
            {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};
        int64_t bytes = 0;
        for (const auto& [x, y, dx, dy] : adam7) bytes += rows((width - x + dx - 1) / dx, (height - y + dy - 1) / dy);
        return bytes;
    }
};

PngHeader read_header(const std::filesystem::path& path, const PngChunks& chunks, const PngChunks::Chunk& chunk) {
    const auto& [type, data] = chunk;
    if (type != "IHDR" || data.size() != 13) chunks.reject("is not a PNG file: it has no header chunk");
    const PngHeader header{PngChunks::big_endian(data), PngChunks::big_endian(data.substr(4)), data[8], data[9],
                           data[12] == 1};
    check_image_size(path, header.width, header.height);
    if (!header.known() || data[10] != 0 || data[11] != 0 || data[12] < 0 || data[12] > 1)
        chunks.reject("is a PNG file of a kind that does not exist");
    return header;
}

/// Unpacks the stream without keeping it; it must hold exactly `expected` bytes.
void check_stream(const PngChunks& chunks, std::string_view packed, int64_t expected) {
    int64_t unpacked = 0;
    const Unpacking result = unpack(packed, [&](std::string_view piece) {
        unpacked += static_cast<int64_t>(piece.size());
        if (unpacked > expected) chunks.reject("is damaged: it holds more than its picture");
    });
    if (result == Unpacking::out_of_memory) chunks.reject("cannot be unpacked: out of memory?");
    if (result == Unpacking::damaged) chunks.reject("is damaged: its pixels cannot be unpacked");
    if (result == Unpacking::cut_off || unpacked < expected) chunks.reject("ends before the picture does");
}

/// A full palette, for indices beyond the stored one: black, as in Pillow.
std::string full_palette(const PngChunks& chunks, std::string_view stored) {
    constexpr size_t full = size_t{3} * 256;
    if (stored.empty() || stored.size() % 3 != 0 || stored.size() > full) chunks.reject("has no proper palette");
    std::string palette(stored);
    palette.resize(full);
    return palette;
}

}  // namespace

CheckedImage check_png(const std::filesystem::path& path, std::string_view bytes) {
    PngChunks chunks(path, bytes);
    const auto first = chunks.next();
    const PngHeader header = read_header(path, chunks, first);
    CheckedImage image{header.width, header.height, header.grey(), header.colour == 0 && header.depth == 16};
    std::string packed;
    std::string_view palette;
    for (auto chunk = chunks.next(); chunk.type != "IEND"; chunk = chunks.next()) {
        if (chunk.type == "IDAT") packed += chunk.data;
        if (chunk.type == "PLTE") palette = chunk.data;
        if (chunk.type == "eXIf") image.orientation = exif_orientation(chunk.data);
    }
    if (packed.empty()) chunks.reject("has no picture in it");
    check_stream(chunks, packed, header.unpacked());
    image.bytes = png_signature;
    append_png_chunk(image.bytes, "IHDR", first.data);
    if (header.colour == palette_colour) append_png_chunk(image.bytes, "PLTE", full_palette(chunks, palette));
    append_png_chunk(image.bytes, "IDAT", packed);
    append_png_chunk(image.bytes, "IEND", {});
    return image;
}

}  // namespace diffapple

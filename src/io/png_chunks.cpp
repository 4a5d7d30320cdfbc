// Chunks of PNG files, with zlib's checksum.
#include "png_chunks.h"

#include <zlib.h>

#include <array>
#include <memory>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"

namespace diffapple {
namespace {

void append_big_endian(std::string& bytes, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
}

uint32_t crc_of(std::string_view bytes) {
    return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

PngChunks::PngChunks(const std::filesystem::path& path, std::string_view bytes) : path_(path.string()), rest_(bytes) {
    if (!rest_.starts_with(png_signature)) reject("is not a PNG file");
    rest_.remove_prefix(png_signature.size());
}

PngChunks::Chunk PngChunks::next() {
    if (rest_.size() < 12) reject("ends before the picture does");
    const uint32_t length = big_endian(rest_);
    if (length > largest_png_length || length > rest_.size() - 12) reject("has a chunk that is cut off");
    const Chunk chunk{rest_.substr(4, 4), rest_.substr(8, length)};
    if (crc_of(rest_.substr(4, 4 + size_t{length})) != big_endian(rest_.substr(8 + size_t{length}))) {
        reject(concat("is damaged: wrong checksum of chunk ", quote(chunk.type)));
    }
    rest_.remove_prefix(12 + size_t{length});
    return chunk;
}

uint32_t PngChunks::big_endian(std::string_view bytes) {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

void PngChunks::reject(const std::string& problem) const {
    fail(path_, ": ", problem);
}

void append_png_chunk(std::string& png, std::string_view type, std::string_view data) {
    append_big_endian(png, static_cast<uint32_t>(data.size()));
    const size_t start = png.size();
    png.append(type).append(data);
    append_big_endian(png, crc_of(std::string_view(png).substr(start)));
}

Unpacking unpack(std::string_view packed, const std::function<void(std::string_view piece)>& use) {
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) return Unpacking::out_of_memory;
    const auto end = std::unique_ptr<z_stream, int (*)(z_stream*)>(&stream, inflateEnd);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    std::array<char, 1 << 15> buffer;
    for (int status = Z_OK; status != Z_STREAM_END;) {
        stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
        stream.avail_out = buffer.size();
        status = inflate(&stream, Z_NO_FLUSH);
        if (status == Z_BUF_ERROR) return Unpacking::cut_off;
        if (status != Z_OK && status != Z_STREAM_END) return Unpacking::damaged;
        use({buffer.data(), buffer.size() - stream.avail_out});
    }
    return Unpacking::done;
}

}  // namespace diffapple

// The chunks that a PNG file consists of, read and written. Private to the io layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace diffapple {

constexpr std::string_view png_signature = "\x89PNG\r\n\x1a\n";
constexpr uint32_t largest_png_length = 0x7fffffff;  // of a chunk, and of a side, says the standard

/// Walks over the chunks of a PNG file in memory; every error names the file.
class PngChunks {
public:
    PngChunks(const std::filesystem::path& path, std::string_view bytes);

    struct Chunk {
        std::string_view type, data;
    };

    /// The next chunk, its length and checksum checked.
    Chunk next();

    static uint32_t big_endian(std::string_view bytes);

    [[noreturn]] void reject(const std::string& problem) const;

private:
    std::string path_;
    std::string_view rest_;
};

/// Appends a chunk with its length and checksum.
void append_png_chunk(std::string& png, std::string_view type, std::string_view data);

/// What became of a compressed stream.
enum class Unpacking { done, cut_off, damaged, out_of_memory };

/// Unpacks a zlib stream and hands it on piece by piece, so that a small file cannot fill the memory.
Unpacking unpack(std::string_view packed, const std::function<void(std::string_view piece)>& use);

}  // namespace diffapple

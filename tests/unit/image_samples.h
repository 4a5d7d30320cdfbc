// Small picture files made by hand for the tests and the fuzzer.
#pragma once

#include <zlib.h>

#include <string>
#include <utility>
#include <vector>

#include "io_samples.h"

namespace diffapple {

constexpr std::string_view png_start = "\x89PNG\r\n\x1a\n";

using ChunkList = std::vector<std::pair<std::string, std::string>>;  // types and data

inline std::string png_file(const ChunkList& chunks) {
    std::string png(png_start);
    for (const auto& [type, data] : chunks) png += png_chunk(type, data);
    return png;
}

/// The chunks of a well-formed PNG.
inline ChunkList png_chunks(const std::string& png) {
    ChunkList chunks;
    for (size_t at = png_start.size(); at < png.size();) {
        size_t length = 0;
        for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(png[at + i]);
        chunks.emplace_back(png.substr(at + 4, 4), png.substr(at + 8, length));
        at += length + 12;
    }
    return chunks;
}

/// What `deflated` was given, of at most 64 KiB.
inline std::string inflated(const std::string& bytes) {
    std::string text(1 << 16, '\0');
    uLongf size = text.size();
    uncompress(reinterpret_cast<Bytef*>(text.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
               bytes.size());
    return text.substr(0, size);
}

/// An EXIF block that holds an orientation.
inline std::string exif_block(char orientation) {
    const std::string head("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19);
    return head + orientation + std::string(6, '\0');
}

/// A PNG of `rows` unpacked bytes, all the same.
inline std::string sample_png(uint32_t width, uint32_t height, int depth, int colour, bool interlaced, size_t rows) {
    const std::string format = {static_cast<char>(depth), static_cast<char>(colour), 0, 0, interlaced};
    ChunkList chunks = {{"IHDR", big_endian(width) + big_endian(height) + format}};
    if (colour == 3) chunks.emplace_back("PLTE", "abcdef");
    chunks.emplace_back("eXIf", exif_block(6));
    chunks.emplace_back("IDAT", deflated(std::string(rows, '\1')));
    chunks.emplace_back("IEND", "");
    return png_file(chunks);
}

/// A BMP of the given bits a pixel, compression and content after the header of 40 bytes.
inline std::string sample_bmp(uint32_t width, uint32_t height, uint16_t bits, uint32_t compression,
                              const std::string& before_pixels, size_t pixels) {
    const auto offset = static_cast<uint32_t>(54 + before_pixels.size());
    return "BM" + bytes_of(uint64_t{0}) + bytes_of(offset) + bytes_of(uint32_t{40}) + bytes_of(width) +
           bytes_of(height) + bytes_of(uint16_t{1}) + bytes_of(bits) + bytes_of(compression) + std::string(20, '\0') +
           before_pixels + std::string(pixels, 'x');
}

/// Bytes written in hexadecimal.
inline std::string from_hex(const std::string& digits) {
    std::string bytes;
    for (size_t i = 0; i + 1 < digits.size(); i += 2)
        bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return bytes;
}

/// 17x9, progressive, 4:2:0 (by Pillow, as the others).
inline std::string progressive_jpeg() {
    return from_hex(
        "ffd8ffe000104a46494600010100000100010000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d496491"
        "8099968f808c8aa0b4e6c3a0aadaad8a8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffdb0043012b2d2d3c353c76414176"
        "f8a58ca5f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8"
        "f8f8ffc20011080009001103012200021101031101ffc400160001010100000000000000000000000000030002ffc40016010101"
        "0100000000000000000000000000030001ffda000c0301000210031000000114da1e14f4dfffc400171001010101000000000000"
        "00000000000000120110ffda000801010001050294a59dffc40017110003010000000000000000000000000000010212ffda0008"
        "010301013f018a6699ffc4001511010100000000000000000000000000001011ffda0008010201013f01a7ffc400141001000000"
        "00000000000000000000000020ffda0008010100063f025fffc400161001010100000000000000000000000000011000ffda0008"
        "010100013f2130b89fffda000c0301000200030000001004cfffc40014110100000000000000000000000000000010ffda000801"
        "0301013f1015ffc400161100030000000000000000000000000000011011ffda0008010201013f10a2bfffc40017100003010000"
        "000000000000000000000000206171ffda0008010100013f10992308ff00ffd9");
}

/// 8x8, CMYK with Adobe's marker.
inline std::string cmyk_jpeg() {
    return from_hex(
        "ffd8ffee000e41646f626500640000000000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d4964918099"
        "968f808c8aa0b4e6c3a0aadaad8a8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffc000140800080008044311004d110059"
        "11004b1100ffc4001500010100000000000000000000000000000405ffc4001b1000020105000000000000000000000000000102"
        "0411144161ffda000e0443004d0059004b00003f007d56c467f4af2958b0d9ffd9");
}

/// 17x9, 4:2:2, a restart marker after each block.
inline std::string restarting_jpeg() {
    return from_hex(
        "ffd8ffe000104a46494600010100000100010000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d496491"
        "8099968f808c8aa0b4e6c3a0aadaad8a8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffdb0043012b2d2d3c353c76414176"
        "f8a58ca5f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8"
        "f8f8ffc00011080009001103012100021101031101ffc400160001010100000000000000000000000000040002ffc40019100100"
        "0301010000000000000000000000000204610314ffc400160101010100000000000000000000000000040302ffc4001911010002"
        "03000000000000000000000000000103021113ffdd00040001ffda000c03010002110311003f001c2b6110ab88ce5b6e9b1fffd0"
        "bcb8873fabffd1d732202c234bffd27a1d57ffd9");
}

/// 17x9, grey, with EXIF orientation 6.
inline std::string grey_jpeg() {
    return from_hex(
        "ffd8ffe000104a46494600010100000100010000ffe100224578696600004d4d002a000000080001011200030000000100060000"
        "00000000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d4964918099968f808c8aa0b4e6c3a0aadaad8a"
        "8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffc0000b080009001101011100ffc400160001010100000000000000000000"
        "000000040302ffc400191001000301010000000000000000000000000204610314ffda0008010100003f001c2b6110ab8a7971ae"
        "644157ffd9");
}

/// 17x9, lossy, with alpha and EXIF orientation 6.
inline std::string lossy_webp() {
    return from_hex(
        "524946469c00000057454250565038580a00000018000000100000080000414c504813000000110f70f8ff8888202420f83f5a35"
        "21a2ff417e0056503820400000003003009d012a110009003f99b8d65f392f2ba53008032033096c009d001648cdb64400febbe9"
        "f11be5911b60439f7c8719490e6be9a0f43edb857be686800000455849461a0000004d4d002a0000000800010112000300000001"
        "0006000000000000");
}

/// 6x5, lossless.
inline std::string lossless_webp() {
    return from_hex(
        "5249464654000000574542505650384c480000002f05000100b93244f43f7611d1ff0099b46d2e1ea665d79882b68ddc9c191c8c"
        "bbdf8351244991921b0508e0877f4d6838763f11107c2e8314000007009931003a8b534065b2f901");
}

/// 4x4, two pictures one after the other.
inline std::string animated_webp() {
    return from_hex(
        "524946468400000057454250565038580a00000012000000030000030000414e494d06000000000000000000414e4d4626000000"
        "000000000000030000030000000000025650384c0e0000002f03c00010071011050c4444ff03414e4d462a000000000000000000"
        "030000030000000000025650384c110000002f03c0001007d0fffef7bf7f8188e87f0000");
}

/// One small valid file of every kind that is read.
inline std::vector<std::string> image_samples() {
    const std::string masks = bytes_of(0xf800U) + bytes_of(0x7e0U) + bytes_of(0x1fU);
    return {sample_png(3, 2, 8, 2, false, 20),
            sample_png(5, 4, 16, 0, false, 44),
            sample_png(3, 3, 8, 6, true, 42),
            sample_png(9, 2, 2, 3, false, 8),
            sample_png(2, 2, 16, 4, false, 18),
            sample_png(9, 2, 1, 0, false, 6),
            sample_bmp(3, 2, 24, 0, "", 24),
            sample_bmp(3, 2, 8, 0, std::string(1024, '\x1f'), 8),
            sample_bmp(9, 2, 1, 0, "palette ", 8),
            sample_bmp(3, 2, 16, 3, masks, 16),
            sample_bmp(2, 2, 32, 0, "", 16),
            progressive_jpeg(),
            cmyk_jpeg(),
            restarting_jpeg(),
            grey_jpeg(),
            lossy_webp(),
            lossless_webp(),
            animated_webp()};
}

}  // namespace diffapple

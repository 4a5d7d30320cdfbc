// Writing of JPEG (libjpeg-turbo) and lossless WebP (libwebp) files with texts in them.
#include "diffapple/io/picture_encoding.h"

#include <cstdio>  // jpeglib.h needs it
//
#include <jpeglib.h>
#include <webp/encode.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <memory>

#include "c_errors.h"
#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/io/picture_info.h"
#include "image_formats.h"
#include "picture_metadata.h"

namespace diffapple {
namespace {

enum class PictureFormat { png, jpeg, webp };

PictureFormat format_of(const std::filesystem::path& path) {
    const std::string ending = lower_ascii(path.extension().string());
    if (ending == ".jpg" || ending == ".jpeg") return PictureFormat::jpeg;
    return ending == ".webp" ? PictureFormat::webp : PictureFormat::png;
}

/// The blocks that hold a picture's texts.
struct Metadata {
    std::string exif, xmp, own;  ///< own: as it is
};

Metadata metadata_of(const std::vector<TextChunk>& text) {
    Metadata metadata;
    for (const TextChunk& chunk : text) {
        if (chunk.keyword == "parameters") metadata.exif = exif_with_comment(chunk.text);
        if (chunk.keyword == own_text_keyword) {
            metadata.own = chunk.text;
            metadata.xmp = xmp_with_own_text(chunk.text);
        }
    }
    return metadata;
}

class JpegEncoder {
public:
    explicit JpegEncoder(const Image& image) : image_(image) {
        info_.err = jpeg_std_error(&manager_);
        info_.client_data = this;
        manager_.error_exit = [](j_common_ptr info) {
            std::array<char, JMSG_LENGTH_MAX> message{};
            info->err->format_message(info, message.data());
            static_cast<JpegEncoder*>(info->client_data)->errors_.leave(message.data());
        };
    }
    ~JpegEncoder() {
        jpeg_destroy_compress(&info_);
        std::free(buffer_);
    }
    JpegEncoder(const JpegEncoder&) = delete;
    JpegEncoder& operator=(const JpegEncoder&) = delete;

    std::string encode(const Metadata& metadata) {
        attempt([this] { start(); });
        write_metadata(metadata);
        for (int64_t y = 0; y < image_.height; ++y) {
            auto* row = const_cast<JSAMPROW>(&image_.pixels[static_cast<size_t>(y * image_.width * image_.channels)]);
            attempt([this, &row] { jpeg_write_scanlines(&info_, &row, 1); });
        }
        attempt([this] { jpeg_finish_compress(&info_); });
        return {reinterpret_cast<const char*>(buffer_), size_};
    }

private:
    template <typename Step>
    void attempt(Step step) {
        if (!errors_.attempt(step)) fail("a JPEG cannot be encoded: ", errors_.message());
    }

    void start() {
        constexpr int quality = 95;
        jpeg_create_compress(&info_);
        jpeg_mem_dest(&info_, &buffer_, &size_);
        info_.image_width = static_cast<JDIMENSION>(image_.width);
        info_.image_height = static_cast<JDIMENSION>(image_.height);
        info_.input_components = static_cast<int>(image_.channels);
        info_.in_color_space = image_.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_set_defaults(&info_);
        jpeg_set_quality(&info_, quality, TRUE);
        info_.comp_info[0].h_samp_factor = info_.comp_info[0].v_samp_factor = 1;
        jpeg_start_compress(&info_, TRUE);
    }

    void write_segment(std::string_view mark, std::string_view content) {
        const std::string data = std::string(mark) + std::string(content);
        attempt([this, &data] {
            jpeg_write_marker(&info_, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(data.data()),
                              static_cast<unsigned>(data.size()));
        });
    }

    /// A segment has 64 KB. Own text that is longer goes into several; other programs' text is then left out.
    void write_metadata(const Metadata& metadata) {
        constexpr size_t largest = 65'533;
        if (!metadata.exif.empty() && exif_mark.size() + metadata.exif.size() <= largest)
            write_segment(exif_mark, metadata.exif);
        if (xmp_mark.size() + metadata.xmp.size() <= largest) {
            if (!metadata.xmp.empty()) write_segment(xmp_mark, metadata.xmp);
            return;
        }
        const size_t part = largest - own_mark.size();
        for (size_t at = 0; at < metadata.own.size(); at += part)
            write_segment(own_mark, std::string_view(metadata.own).substr(at, part));
    }

    const Image& image_;
    jpeg_error_mgr manager_{};
    jpeg_compress_struct info_{};
    CErrors errors_;
    unsigned char* buffer_ = nullptr;
    unsigned long size_ = 0;
};

std::string little_endian(size_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 0xff);
    return text;
}

std::string riff_chunk(std::string_view name, std::string_view data) {
    return concat(name, little_endian(data.size(), 4), data, data.size() % 2 ? std::string(1, '\0') : std::string());
}

/// libwebpmux would be one more library for these few bytes.
std::string encode_webp(const Image& picture, const Metadata& metadata) {
    const Image image = to_rgb(picture);
    uint8_t* buffer = nullptr;
    const size_t size =
        WebPEncodeLosslessRGB(image.pixels.data(), static_cast<int>(image.width), static_cast<int>(image.height),
                              static_cast<int>(image.width * 3), &buffer);
    const std::unique_ptr<uint8_t, void (*)(void*)> owner(buffer, WebPFree);
    constexpr size_t file_header = 12;
    if (size <= file_header) fail("a WebP of ", image.width, "x", image.height, " pixels cannot be encoded");
    const std::string_view pixels(reinterpret_cast<const char*>(buffer) + file_header, size - file_header);
    constexpr size_t has_exif = 0x08, has_xmp = 0x04;
    const std::string header =
        little_endian((metadata.exif.empty() ? 0 : has_exif) | (metadata.xmp.empty() ? 0 : has_xmp), 4) +
        little_endian(static_cast<size_t>(image.width) - 1, 3) +
        little_endian(static_cast<size_t>(image.height) - 1, 3);
    std::string chunks = "WEBP" + riff_chunk("VP8X", header) + std::string(pixels);
    if (!metadata.exif.empty()) chunks += riff_chunk("EXIF", metadata.exif);
    if (!metadata.xmp.empty()) chunks += riff_chunk("XMP ", metadata.xmp);
    return riff_chunk("RIFF", chunks);
}

std::string encode_as(PictureFormat format, const Image& image, const Metadata& metadata) {
    return format == PictureFormat::jpeg ? JpegEncoder(image).encode(metadata) : encode_webp(image, metadata);
}

}  // namespace

const std::vector<std::string>& picture_formats() {
    static const std::vector<std::string> formats{"png", "jpg", "webp"};
    return formats;
}

std::vector<std::byte> encode_picture(const std::filesystem::path& path, const Image& image,
                                      const std::vector<TextChunk>& text) {
    const PictureFormat format = format_of(path);
    if (format == PictureFormat::png) return encode_png(image, text);
    const std::string bytes = encode_as(format, image, metadata_of(text));
    const auto* const begin = reinterpret_cast<const std::byte*>(bytes.data());
    return {begin, begin + bytes.size()};
}

Image as_stored(const std::filesystem::path& path, const Image& image) {
    const PictureFormat format = format_of(path);
    if (format != PictureFormat::jpeg) return image;
    return decode_jpeg(path, encode_as(format, image, {})).image;
}

}  // namespace diffapple

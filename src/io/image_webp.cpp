// WebP files, decoded by libwebp: the picture, or the first one of an animation, as Pillow shows it.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>
#include <string>

#include "diffapple/core/error.h"
#include "exif.h"
#include "image_formats.h"

namespace diffapple {
namespace {

const uint8_t* webp_bytes(std::string_view bytes) {
    return reinterpret_cast<const uint8_t*>(bytes.data());
}

std::string webp_chunk(const WebPDemuxer* file, const char* name) {
    WebPChunkIterator found;
    if (!WebPDemuxGetChunk(file, name, 1, &found)) return {};
    const std::unique_ptr<WebPChunkIterator, void (*)(WebPChunkIterator*)> end(&found, WebPDemuxReleaseChunkIterator);
    return {reinterpret_cast<const char*>(found.chunk.bytes), found.chunk.size};
}

int webp_orientation(const WebPDemuxer* file) {
    constexpr std::string_view start{"Exif\0\0", 6};
    std::string exif = webp_chunk(file, "EXIF");
    if (exif.starts_with(start)) exif.erase(0, start.size());
    return exif_orientation(exif).value_or(xmp_orientation(webp_chunk(file, "XMP ")).value_or(1));
}

/// The whole canvas at the first turn of an animation; false for damage.
bool decode_first_picture(std::string_view bytes, Image& image) {
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options)) return false;
    options.color_mode = MODE_RGBA;
    const WebPData data{webp_bytes(bytes), bytes.size()};
    const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(WebPAnimDecoderNew(&data, &options),
                                                                               WebPAnimDecoderDelete);
    uint8_t* canvas = nullptr;
    int milliseconds = 0;
    if (!decoder || !WebPAnimDecoderGetNext(decoder.get(), &canvas, &milliseconds)) return false;
    for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = canvas[i / 3 * 4 + i % 3];
    return true;
}

}  // namespace

StoredImage decode_webp(const std::filesystem::path& path, std::string_view bytes) {
    const auto reject = [&](const auto&... problem) { fail(path.string(), ": ", problem...); };
    WebPBitstreamFeatures features;
    const auto status = WebPGetFeatures(webp_bytes(bytes), bytes.size(), &features);
    if (status == VP8_STATUS_NOT_ENOUGH_DATA) reject("ends before the picture does");
    if (status != VP8_STATUS_OK) reject("is damaged: it has no proper WebP header");
    check_image_size(path, features.width, features.height);
    // One colour takes no bits at all; but what claims much memory must bring a bit for each block of 8x8 pixels.
    const int64_t pixels = int64_t{features.width} * features.height;
    if (pixels > 1 << 24 && static_cast<int64_t>(bytes.size()) * 8 < pixels / 64)
        reject("is too short for a picture of ", features.width, "x", features.height, " pixels");
    // RGB, and beside it: the two canvases of an animation, the ARGB of a lossless picture, an alpha channel.
    check_image_cost(path, bytes.size(), pixels * (features.has_animation ? 11 : features.format == 2 ? 7 : 4));
    const WebPData data{webp_bytes(bytes), bytes.size()};
    const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> file(WebPDemux(&data), WebPDemuxDelete);
    if (!file) reject("ends before the picture does, or is damaged");
    StoredImage stored{blank_image(features.width, features.height, 3), webp_orientation(file.get())};
    const bool decoded =
        features.has_animation
            ? decode_first_picture(bytes, stored.image)
            : WebPDecodeRGBInto(webp_bytes(bytes), bytes.size(), stored.image.pixels.data(), stored.image.pixels.size(),
                                static_cast<int>(features.width * 3)) != nullptr;
    if (!decoded) reject("is damaged: its pixels cannot be decoded");
    return stored;
}

}  // namespace diffapple

// Reading of picture files: checks of our own, then stb_image.
#include <stb_image.h>

#include <algorithm>
#include <memory>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/image.h"
#include "exif.h"
#include "image_formats.h"
#include "png_chunks.h"

namespace diffapple {

void check_image_size(const std::filesystem::path& path, int64_t width, int64_t height) {
    if (width < 1 || height < 1) fail(path.string(), ": has a picture of an impossible size");
    if (width > largest_image_side || height > largest_image_side || width * height > largest_image_pixels)
        fail(path.string(), ": is a picture of ", width, "x", height, " pixels, and at most ", largest_image_side,
             " a side and ", largest_image_pixels, " in all are read");
}

namespace {

CheckedImage check(const std::filesystem::path& path, std::string_view bytes) {
    if (bytes.empty()) fail(path.string(), ": is empty");
    if (bytes.starts_with(png_signature)) return check_png(path, bytes);
    if (bytes.starts_with("\xff\xd8")) return check_jpeg(path, bytes);
    if (bytes.starts_with("BM")) return check_bmp(path, bytes);
    fail(path.string(), ": is not a PNG, JPEG or BMP file");
}

template <typename Value, typename Load>
std::vector<uint8_t> decode(Load load, const std::filesystem::path& path, const CheckedImage& file) {
    int width = 0, height = 0, stored_channels = 0;
    const int channels = file.grey ? 1 : 3;
    const auto* const bytes = reinterpret_cast<const stbi_uc*>(file.bytes.data());
    const std::unique_ptr<Value, void (*)(void*)> values(
        load(bytes, static_cast<int>(file.bytes.size()), &width, &height, &stored_channels, channels), stbi_image_free);
    if (!values) fail(path.string(), ": cannot be decoded: ", stbi_failure_reason());
    if (width != file.width || height != file.height) fail(path.string(), ": has two different sizes in it");
    std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * channels);
    std::transform(values.get(), values.get() + pixels.size(), pixels.begin(),
                   [](Value value) { return static_cast<uint8_t>(std::min<Value>(value, 255)); });
    return pixels;
}

}  // namespace

Image read_image(const std::filesystem::path& path) {
    CheckedImage file = [&] {
        const std::string bytes = read_file(path, largest_image_file);
        return check(path, bytes);
    }();
    auto pixels = file.grey16 ? decode<stbi_us>(stbi_load_16_from_memory, path, file)
                              : decode<stbi_uc>(stbi_load_from_memory, path, file);
    return oriented({file.width, file.height, file.grey ? 1 : 3, std::move(pixels)}, file.orientation);
}

}  // namespace diffapple

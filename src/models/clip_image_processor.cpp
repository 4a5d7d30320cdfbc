#include "diffapple/models/clip_image_processor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

constexpr int64_t max_side = 4096;

Size read_size(const JsonFields& fields) {
    return {.width = fields.integer("width", 1, max_side), .height = fields.integer("height", 1, max_side)};
}

/// A number, {"shortest_edge": number} or {"height": number, "width": number}.
void read_resize(const JsonFields& fields, ClipImageProcessorConfig& config) {
    config.size = {};
    config.shortest_edge = 0;
    if (!fields.has("size") || !fields.value("size").is_object())
        config.shortest_edge = fields.integer("size", 1, max_side, 224);
    else if (fields.object("size").has("shortest_edge"))
        config.shortest_edge = fields.object("size").integer("shortest_edge", 1, max_side);
    else
        config.size = read_size(fields.object("size"));
}

Size read_crop_size(const JsonFields& fields) {
    if (fields.has("crop_size") && fields.value("crop_size").is_object()) return read_size(fields.object("crop_size"));
    const int64_t side = fields.integer("crop_size", 1, max_side, 224);
    return {side, side};
}

/// By Pillow's numbers.
Filter read_filter(const JsonFields& fields) {
    constexpr std::array filters{Filter::nearest, Filter::lanczos, Filter::bilinear, Filter::bicubic, Filter::box};
    return filters[fields.integer("resample", 0, filters.size() - 1, 3)];
}

std::array<double, 3> read_colour(const JsonFields& fields, const std::string& key,
                                  const std::array<double, 3>& fallback) {
    const auto values = fields.numbers(key, std::vector<double>(fallback.begin(), fallback.end()));
    if (values.size() != 3) fields.reject(key, "must have 3 entries, for red, green and blue");
    return {values[0], values[1], values[2]};
}

/// True by default, for which null stands in transformers' image processors.
bool read_step(const JsonFields& fields, const std::string& key) {
    return !fields.has(key) || fields.boolean(key);
}

}  // namespace

ClipImageProcessorConfig ClipImageProcessorConfig::from_json(const JsonFields& fields) {
    ClipImageProcessorConfig config;
    config.do_resize = read_step(fields, "do_resize");
    config.do_center_crop = read_step(fields, "do_center_crop");
    config.do_rescale = read_step(fields, "do_rescale");
    config.do_normalize = read_step(fields, "do_normalize");
    read_resize(fields, config);
    config.resample = read_filter(fields);
    config.crop_size = read_crop_size(fields);
    config.rescale_factor = fields.number("rescale_factor", 1.0 / 255);
    config.image_mean = read_colour(fields, "image_mean", {0.48145466, 0.4578275, 0.40821073});
    config.image_std = read_colour(fields, "image_std", {0.26862954, 0.26130258, 0.27577711});
    if (std::count(config.image_std.begin(), config.image_std.end(), 0.0)) fields.reject("image_std", "has a 0");
    return config;
}

std::optional<Size> ClipImageProcessorConfig::fixed_size() const {
    if (do_center_crop) return crop_size;
    return do_resize && shortest_edge == 0 ? std::optional(size) : std::nullopt;
}

namespace {

Image resized(const Image& picture, const ClipImageProcessorConfig& config) {
    if (config.shortest_edge == 0) return resize(picture, config.size.width, config.size.height, config.resample);
    const int64_t shorter = std::min(picture.width, picture.height);
    const auto side = [&](int64_t length) { return config.shortest_edge * length / shorter; };
    return resize(picture, side(picture.width), side(picture.height), config.resample);
}

Image centre(const Image& picture, const Size& size) {
    // An arithmetic shift halves towards minus infinity, as Python's // does, where the picture is smaller.
    const int64_t left = (picture.width - size.width) >> 1, top = (picture.height - size.height) >> 1;
    return crop(picture, left, top, left + size.width, top + size.height);
}

/// fp32 [3, H, W], rounded as NumPy rounds in CLIPImageProcessor.
at::Tensor to_values(const Image& picture, const ClipImageProcessorConfig& config) {
    at::Tensor values =
        at::tensor(picture.pixels, at::kByte).view({picture.height, picture.width, 3}).permute({2, 0, 1});
    values =
        config.do_rescale ? values.to(at::kDouble).mul(config.rescale_factor).to(at::kFloat) : values.to(at::kFloat);
    if (!config.do_normalize) return values;
    const auto by_channel = [](const std::array<double, 3>& colour) {
        return at::tensor(at::ArrayRef<double>(colour), at::kDouble).to(at::kFloat).view({3, 1, 1});
    };
    return values.sub(by_channel(config.image_mean)).div(by_channel(config.image_std));
}

}  // namespace

at::Tensor preprocess(const std::vector<Image>& pictures, const ClipImageProcessorConfig& config) {
    std::vector<at::Tensor> values;
    for (const auto& picture : pictures) {
        Image rgb = to_rgb(picture);
        if (config.do_resize) rgb = resized(rgb, config);
        if (config.do_center_crop) rgb = centre(rgb, config.crop_size);
        values.push_back(to_values(rgb, config));
        if (values.back().sizes() != values.front().sizes())
            fail("feature_extractor/preprocessor_config.json: pictures of different sizes stay so; it must crop them");
    }
    return at::stack(values);
}

}  // namespace diffapple

#include "config_fields.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple {
namespace {

const std::vector<std::string> activations{"silu", "swish", "mish", "gelu", "relu"};

}  // namespace

std::optional<Size> read_sample_size(const JsonFields& fields) {
    if (!fields.has("sample_size")) return std::nullopt;
    constexpr int64_t max_size = 16384;
    if (!fields.value("sample_size").is_array()) {
        const int64_t size = fields.integer("sample_size", 1, max_size);
        return Size{.width = size, .height = size};
    }
    const auto size = fields.integers("sample_size", 1, max_size);
    if (size.size() != 2) fields.reject("sample_size", "must be a number or [height, width]");
    return Size{.width = size[1], .height = size[0]};
}

std::vector<int64_t> read_block_out_channels(const JsonFields& fields, const std::vector<int64_t>& fallback) {
    auto channels = fields.integers("block_out_channels", 1, max_channels, fallback);
    if (channels.empty() || channels.size() > 12) fields.reject("block_out_channels", "must have 1 to 12 entries");
    return channels;
}

nn::Activation read_activation(const JsonFields& fields, const std::string& key) {
    return nn::find_activation(fields.choice(key, activations));
}

nn::Activation read_act_fn(const JsonFields& fields) {
    return nn::find_activation(fields.choice("act_fn", activations, "silu"));
}

nn::TimeScaleShift read_time_scale_shift(const JsonFields& fields) {
    return fields.choice("resnet_time_scale_shift", {"default", "scale_shift"}, "default") == "default"
               ? nn::TimeScaleShift::add
               : nn::TimeScaleShift::scale_shift;
}

double read_mid_block_scale_factor(const JsonFields& fields) {
    const double factor = fields.number("mid_block_scale_factor", 1.0);
    if (factor == 0.0) fields.reject("mid_block_scale_factor", "must not be 0");
    return factor;
}

void require_class(const JsonFields& fields, const std::string& class_name) {
    if (fields.has("_class_name") && !fields.value("_class_name").is_array())
        fields.choice("_class_name", {class_name});
}

std::vector<std::string> read_block_names(const JsonFields& fields, const std::string& key,
                                          const std::vector<std::string>& fallback) {
    constexpr std::string_view old_prefix = "UNetRes";
    auto names = fields.texts(key, fallback);
    for (auto& name : names)
        if (name.starts_with(old_prefix)) name.erase(0, old_prefix.size());
    return names;
}

void require_one_per_block(const JsonFields& fields, const std::string& key, size_t entries, size_t count) {
    if (entries != count)
        fields.reject(key, concat("has ", counted(entries, "entry"), ", but block_out_channels has ", count));
}

}  // namespace diffapple

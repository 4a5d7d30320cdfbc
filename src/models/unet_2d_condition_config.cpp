// UNet2DConditionModel's config.json.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "config_fields.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/models/unet_2d_condition.h"

namespace diffapple {
namespace {

/// Options of other models that diffusers builds from the same class; set, they would change the result. (Some are read
/// only by blocks that this program refuses: resnet_skip_time_act, resnet_out_scale_factor, cross_attention_norm,
/// mid_block_only_cross_attention.)
void refuse_unsupported(const JsonFields& fields) {
    for (const std::string key : {"class_embed_type", "num_class_embeds", "num_attention_heads"})
        if (fields.has(key)) fields.reject(key, "is set, but models with it are not supported");
    for (const std::string key : {"dual_cross_attention", "class_embeddings_concat"})
        if (fields.boolean(key, false)) fields.reject(key, "is true, but models with it are not supported");
    if (fields.has("only_cross_attention")) {
        const auto& value = fields.value("only_cross_attention");
        const auto is_false = [](const nlohmann::json& item) { return item == false; };
        if (value.is_array() ? !std::all_of(value.begin(), value.end(), is_false) : !is_false(value))
            fields.reject("only_cross_attention", "is not false, but models with it are not supported");
    }
    fields.choice("attention_type", {"default"}, "default");
    fields.choice("time_embedding_type", {"positional"}, "positional");
}

/// A projection of the text's embeddings (`encoder_hid_dim`); of pictures' there is none.
std::optional<int64_t> read_text_projection(const JsonFields& fields) {
    if (fields.has("encoder_hid_dim_type")) fields.choice("encoder_hid_dim_type", {"text_proj"});
    if (!fields.has("encoder_hid_dim")) return std::nullopt;
    return fields.integer("encoder_hid_dim", 1, max_channels);
}

/// One number for all levels, or a list with one for each.
std::vector<int64_t> read_per_block(const JsonFields& fields, const std::string& key, int64_t maximum, int64_t fallback,
                                    size_t blocks) {
    if (!fields.has(key) || !fields.value(key).is_array())
        return std::vector<int64_t>(blocks, fields.integer(key, 1, maximum, fallback));
    auto values = fields.integers(key, 1, maximum);
    require_one_per_block(fields, key, values.size(), blocks);
    return values;
}

/// Names of blocks, each with or without cross-attention.
std::vector<std::string> read_block_types(const JsonFields& fields, const std::string& key,
                                          const std::vector<std::string>& fallback, size_t blocks) {
    const std::string plain = key == "down_block_types" ? "DownBlock2D" : "UpBlock2D";
    auto names = read_block_names(fields, key, fallback);
    for (const auto& name : names)
        if (name != plain && name != "CrossAttn" + plain)
            fields.reject(key, concat("has the unsupported block '", name, "'; this program has ", plain,
                                      " and CrossAttn", plain));
    require_one_per_block(fields, key, names.size(), blocks);
    return names;
}

void read_blocks(const JsonFields& fields, UNet2DConditionConfig& config) {
    config.block_out_channels = read_block_out_channels(fields, {320, 640, 1280, 1280});
    const size_t blocks = config.block_out_channels.size();
    config.down_block_types = read_block_types(
        fields, "down_block_types",
        {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"}, blocks);
    config.up_block_types =
        read_block_types(fields, "up_block_types",
                         {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"}, blocks);
    if (!fields.given("mid_block_type") || fields.has("mid_block_type"))
        config.mid_block_type =
            fields.choice("mid_block_type", {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D"}, "UNetMidBlock2DCrossAttn");
    config.layers_per_block = read_per_block(fields, "layers_per_block", 64, 2, blocks);
}

/// The depths of a level's transformers under `key`: one number for all of them, or one for each.
std::vector<int64_t> read_depths_of_level(const JsonFields& fields, const std::string& key, size_t level,
                                          size_t transformers) {
    constexpr int64_t max_depth = 64;
    const auto& whole = fields.value(key);
    const nlohmann::json item = whole.is_array() ? whole.at(level) : whole;
    const nlohmann::json one{{key, item}};
    const JsonFields own(one, fields.where());
    if (!item.is_array()) return std::vector<int64_t>(transformers, own.integer(key, 1, max_depth));
    auto depths = own.integers(key, 1, max_depth);
    if (depths.size() < transformers)
        fields.reject(key, concat("has ", counted(depths.size(), "number"), " for level ", level, ", which has ",
                                  counted(transformers, "transformer")));
    depths.resize(transformers);
    return depths;
}

/// `key` for all levels, of which some have no transformers.
std::vector<std::vector<int64_t>> read_depths(const JsonFields& fields, const std::string& key,
                                              const std::vector<size_t>& transformers) {
    std::vector<std::vector<int64_t>> depths;
    if (fields.has(key) && fields.value(key).is_array())
        require_one_per_block(fields, key, fields.value(key).size(), transformers.size());
    for (size_t level = 0; level < transformers.size(); ++level)
        depths.push_back(fields.has(key) ? read_depths_of_level(fields, key, level, transformers[level])
                                         : std::vector<int64_t>(transformers[level], 1));
    return depths;
}

bool is_nested(const JsonFields& fields, const std::string& key) {
    if (!fields.has(key) || !fields.value(key).is_array()) return false;
    const auto& list = fields.value(key);
    return std::any_of(list.begin(), list.end(), [](const auto& item) { return item.is_array(); });
}

/// How many transformers the down blocks of each level have, and the up blocks, the lowest resolution first.
std::pair<std::vector<size_t>, std::vector<size_t>> count_transformers(const UNet2DConditionConfig& config) {
    std::vector<size_t> down, up;
    const size_t blocks = config.block_out_channels.size();
    const auto count = [](const std::string& type, int64_t layers) {
        return type.starts_with("CrossAttn") ? static_cast<size_t>(layers) : 0;
    };
    for (size_t i = 0; i < blocks; ++i) {
        down.push_back(count(config.down_block_types[i], config.layers_per_block[i]));
        up.push_back(count(config.up_block_types[i], config.layers_per_block[blocks - 1 - i] + 1));
    }
    // The mid block takes the first number of the lowest level, whether or not that has transformers.
    down.back() = std::max<size_t>(down.back(), 1);
    return {down, up};
}

void read_depths(const JsonFields& fields, UNet2DConditionConfig& config) {
    const std::string key = "transformer_layers_per_block", reversed = "reverse_transformer_layers_per_block";
    const auto [down, up] = count_transformers(config);
    config.transformer_layers = read_depths(fields, key, down);
    if (fields.has(reversed)) {
        config.up_transformer_layers = read_depths(fields, reversed, up);
        return;
    }
    if (is_nested(fields, key)) fields.reject(key, concat("has lists in its list, so ", reversed, " must be given"));
    nlohmann::json list = fields.has(key) ? fields.value(key) : nlohmann::json(1);
    if (list.is_array()) std::reverse(list.begin(), list.end());
    const nlohmann::json mirrored{{key, list}};
    config.up_transformer_layers = read_depths(JsonFields(mirrored, fields.where()), key, up);
}

void read_attention(const JsonFields& fields, UNet2DConditionConfig& config) {
    const size_t blocks = config.block_out_channels.size();
    config.heads = read_per_block(fields, "attention_head_dim", max_channels, 8, blocks);
    const auto widths = read_per_block(fields, "cross_attention_dim", max_channels, 1280, blocks);
    if (std::any_of(widths.begin(), widths.end(), [&](int64_t width) { return width != widths.front(); }))
        fields.reject("cross_attention_dim", "has different entries, but there is one text for all blocks");
    config.cross_attention_dim = widths.front();
    config.encoder_hid_dim = read_text_projection(fields);
    read_depths(fields, config);
    config.upcast_attention = fields.boolean("upcast_attention", false);
    fields.boolean("use_linear_projection", false);  // how the weights are stored: nn::Transformer2DModel
}

void read_time(const JsonFields& fields, UNet2DConditionConfig& config) {
    config.time_embed_dim = fields.integer("time_embedding_dim", 1, 4 * max_channels, 4 * config.block_out_channels[0]);
    config.freq_shift = fields.number("freq_shift", 0.0);
    config.flip_sin_to_cos = fields.boolean("flip_sin_to_cos", true);
    if (fields.has("time_embedding_act_fn"))
        config.time_embedding_act_fn = read_activation(fields, "time_embedding_act_fn");
    if (fields.has("timestep_post_act")) config.timestep_post_act = read_activation(fields, "timestep_post_act");
    if (fields.has("time_cond_proj_dim"))
        config.guidance_embed_dim = fields.integer("time_cond_proj_dim", 4, max_channels);
    if (!fields.has("addition_embed_type")) return;
    fields.choice("addition_embed_type", {"text_time"});
    config.text_time = {.time_embed_dim = fields.integer("addition_time_embed_dim", 1, max_channels),
                        .input_dim = fields.integer("projection_class_embeddings_input_dim", 1, 4 * max_channels)};
}

}  // namespace

UNet2DConditionConfig UNet2DConditionConfig::from_json(const JsonFields& fields) {
    require_class(fields, "UNet2DConditionModel");
    refuse_unsupported(fields);
    UNet2DConditionConfig config;
    config.sample_size = read_sample_size(fields);
    read_blocks(fields, config);
    read_attention(fields, config);
    read_time(fields, config);
    config.in_channels = fields.integer("in_channels", 1, max_channels, 4);
    config.out_channels = fields.integer("out_channels", 1, max_channels, 4);
    config.center_input_sample = fields.boolean("center_input_sample", false);
    config.downsample_padding = fields.integer("downsample_padding", 0, 1, 1);
    config.mid_block_scale_factor = read_mid_block_scale_factor(fields);
    config.act_fn = read_act_fn(fields);
    config.norm_num_groups = fields.integer("norm_num_groups", 1, max_channels, 32);
    config.norm_eps = fields.number("norm_eps", 1e-5);
    config.resnet_time_scale_shift = read_time_scale_shift(fields);
    config.conv_in_kernel = fields.integer("conv_in_kernel", 1, 15, 3);
    config.conv_out_kernel = fields.integer("conv_out_kernel", 1, 15, 3);
    for (const auto& [key, size] :
         {std::pair{"conv_in_kernel", config.conv_in_kernel}, std::pair{"conv_out_kernel", config.conv_out_kernel}})
        if (size % 2 == 0) fields.reject(key, concat("is ", size, ", but must be odd to keep the size"));
    return config;
}

}  // namespace diffapple

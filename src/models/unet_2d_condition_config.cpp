// UNet2DConditionModel's config.json.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "config_fields.h"
#include "diffapple/core/error.h"
#include "diffapple/models/unet_2d_condition.h"

namespace diffapple {
namespace {

/// Options of other models that diffusers builds from the same class; set, they would change the result.
void refuse_unsupported(const JsonFields& fields) {
    for (const std::string key :
         {"class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type", "time_cond_proj_dim",
          "timestep_post_act", "cross_attention_norm", "num_attention_heads"})
        if (fields.has(key)) fields.reject(key, "is set, but models with it are not supported");
    for (const std::string key :
         {"dual_cross_attention", "class_embeddings_concat", "resnet_skip_time_act", "mid_block_only_cross_attention"})
        if (fields.boolean(key, false)) fields.reject(key, "is true, but models with it are not supported");
    if (fields.has("only_cross_attention")) {
        const auto& value = fields.value("only_cross_attention");
        const auto is_false = [](const nlohmann::json& item) { return item == false; };
        if (value.is_array() ? !std::all_of(value.begin(), value.end(), is_false) : !is_false(value))
            fields.reject("only_cross_attention", "is not false, but models with it are not supported");
    }
    fields.choice("attention_type", {"default"}, "default");
    fields.choice("time_embedding_type", {"positional"}, "positional");
    if (fields.number("resnet_out_scale_factor", 1.0) != 1.0)
        fields.reject("resnet_out_scale_factor", "is not 1, but models with it are not supported");
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
    auto names = fields.texts(key, fallback);
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

void read_attention(const JsonFields& fields, UNet2DConditionConfig& config) {
    constexpr int64_t max_depth = 64;
    const size_t blocks = config.block_out_channels.size();
    config.heads = read_per_block(fields, "attention_head_dim", max_channels, 8, blocks);
    const auto widths = read_per_block(fields, "cross_attention_dim", max_channels, 1280, blocks);
    if (std::any_of(widths.begin(), widths.end(), [&](int64_t width) { return width != widths.front(); }))
        fields.reject("cross_attention_dim", "has different entries, but there is one text for all blocks");
    config.cross_attention_dim = widths.front();
    config.transformer_layers = read_per_block(fields, "transformer_layers_per_block", max_depth, 1, blocks);
    config.up_transformer_layers.assign(config.transformer_layers.rbegin(), config.transformer_layers.rend());
    if (fields.has("reverse_transformer_layers_per_block"))
        config.up_transformer_layers =
            read_per_block(fields, "reverse_transformer_layers_per_block", max_depth, 1, blocks);
    config.upcast_attention = fields.boolean("upcast_attention", false);
    fields.boolean("use_linear_projection", false);  // how the weights are stored: nn::Transformer2DModel
}

void read_time(const JsonFields& fields, UNet2DConditionConfig& config) {
    config.time_embed_dim = fields.integer("time_embedding_dim", 1, 4 * max_channels, 4 * config.block_out_channels[0]);
    config.freq_shift = fields.number("freq_shift", 0.0);
    config.flip_sin_to_cos = fields.boolean("flip_sin_to_cos", true);
    if (fields.has("time_embedding_act_fn"))
        config.time_embedding_act_fn = read_activation(fields, "time_embedding_act_fn");
    if (!fields.has("addition_embed_type")) return;
    fields.choice("addition_embed_type", {"text_time"});
    config.text_time = {.time_embed_dim = fields.integer("addition_time_embed_dim", 1, max_channels),
                        .input_dim = fields.integer("projection_class_embeddings_input_dim", 1, 4 * max_channels)};
}

}  // namespace

UNet2DConditionConfig UNet2DConditionConfig::from_json(const JsonFields& fields) {
    if (fields.has("_class_name")) fields.choice("_class_name", {"UNet2DConditionModel"});
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

// UNet2DConditionModel in several shapes on the device, against itself in double precision on the CPU.
#include "diffapple/models/unet_2d_condition.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "parts.h"

namespace diffapple::selftest {
namespace {

constexpr uint64_t unet_2d_condition_seed = 7;
constexpr int64_t text_channels = 24, tokens = 7;
constexpr int64_t pooled_channels = 12, size_channels = 8, sizes = 6;

/// The smallest UNet in the shape of Stable Diffusion v1.5's; `changes` replaces keys of its config.
UNet2DConditionConfig small_condition_config(const nlohmann::json& changes) {
    nlohmann::json config{{"block_out_channels", {32, 64}},
                          {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
                          {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}},
                          {"layers_per_block", 1},
                          {"attention_head_dim", 4},
                          {"cross_attention_dim", text_channels},
                          {"norm_num_groups", 8}};
    config.update(changes);
    return UNet2DConditionConfig::from_json(JsonFields(config, "selftest"));
}

/// One model with its own copies of the inputs. The texts come in the other order, as if two prompts were joined.
at::Tensor forward(UNet2DConditionModel& model, const at::Tensor& sample, const at::Tensor& text,
                   const at::Tensor& pooled) {
    constexpr double timestep = 501;
    at::Tensor added;
    if (model.config().text_time) {
        // Sizes that bf16 has: others are rounded as the pipelines do, which is another input, not an error.
        const auto time_ids = at::arange(sizes, at::kFloat).mul_(8).add_(512).expand({pooled.size(0), sizes});
        added = model.embed_added(pooled, time_ids);
    }
    const auto contexts = {model.encode_text(text.slice(0, 1)), model.encode_text(text.slice(0, 0, 1))};
    return model.forward(sample, timestep, nn::TextContext::join(contexts), added);
}

/// With `packed`, the weights are in the layouts that pipelines run with.
Check condition_unet_check(const std::string& name, const nlohmann::json& changes, const std::vector<int64_t>& shape,
                 bool packed = false) {
    const auto run = [=](const Placement& placement) {
        constexpr int64_t roundings = 150;
        const auto twins = make_twins<UNet2DConditionModel>(small_condition_config(changes), placement);
        if (packed) nn::pack_weights(*twins.tested);
        NoiseSource noise(unet_2d_condition_seed);
        const Values sample = draw(noise, shape, placement);
        const Values text = draw(noise, {shape[0], tokens, text_channels}, placement);
        const Values pooled = draw(noise, {shape[0], pooled_channels}, placement);
        return compare(forward(*twins.tested, sample.tested, text.tested, pooled.tested),
                       forward(*twins.exact, sample.exact, text.exact, pooled.exact), placement, roundings);
    };
    return {"UNet2DCondition, " + name, run};
}

}  // namespace

std::vector<Check> unet_2d_condition_checks() {
    const nlohmann::json as_v1 = nlohmann::json::object();
    const nlohmann::json inpainting{{"in_channels", 9}, {"attention_head_dim", {2, 4}}, {"upcast_attention", true}};
    const nlohmann::json xl{{"down_block_types", {"DownBlock2D", "CrossAttnDownBlock2D"}},
                            {"up_block_types", {"CrossAttnUpBlock2D", "UpBlock2D"}},
                            {"attention_head_dim", {1, 2}},
                            {"transformer_layers_per_block", {1, 2}},
                            {"addition_embed_type", "text_time"},
                            {"addition_time_embed_dim", size_channels},
                            {"projection_class_embeddings_input_dim", pooled_channels + sizes * size_channels}};
    const nlohmann::json large_heads{{"block_out_channels", {40, 160}}, {"attention_head_dim", 1}};
    return {condition_unet_check("as SD v1.5", as_v1, {2, 4, 16, 16}),
            condition_unet_check("as SD v1.5, packed", as_v1, {2, 4, 16, 16}, /*packed=*/true),
            condition_unet_check("size that halving rounds", as_v1, {2, 4, 13, 9}),
            condition_unet_check("as SD v2 inpainting", inpainting, {2, 9, 12, 8}),
            condition_unet_check("as SDXL", xl, {2, 4, 8, 16}),
            condition_unet_check("as SDXL, packed", xl, {2, 4, 8, 16}, /*packed=*/true),
            condition_unet_check("heads of 40", large_heads, {2, 4, 16, 16})};
}

}  // namespace diffapple::selftest

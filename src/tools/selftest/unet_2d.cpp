// UNet2DModel in several shapes on the device, against itself in double precision on the CPU.
#include "diffapple/models/unet_2d.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "parts.h"

namespace diffapple::selftest {
namespace {

/// The smallest UNet in the shape of google/ddpm-cat-256; `changes` replaces keys of its config.
UNet2DConfig small_config(const nlohmann::json& changes) {
    nlohmann::json config{{"in_channels", 3},
                          {"out_channels", 3},
                          {"down_block_types", {"DownBlock2D", "AttnDownBlock2D"}},
                          {"up_block_types", {"AttnUpBlock2D", "UpBlock2D"}},
                          {"block_out_channels", {32, 64}},
                          {"layers_per_block", 2},
                          {"downsample_padding", 0},
                          {"attention_head_dim", nullptr},
                          {"flip_sin_to_cos", false},
                          {"freq_shift", 1},
                          {"norm_num_groups", 8},
                          {"norm_eps", 1e-6}};
    config.update(changes);
    return UNet2DConfig::from_json(JsonFields(config, "selftest"));
}

Check unet_check(const std::string& name, const nlohmann::json& changes, const std::vector<int64_t>& shape) {
    const auto run = [=](const Placement& placement) {
        constexpr uint64_t seed = 4;
        constexpr double timestep = 501;
        constexpr int64_t roundings = 100;
        const auto twins = make_twins<UNet2DModel>(small_config(changes), placement);
        NoiseSource noise(seed);
        const Values sample = draw(noise, shape, placement);
        return compare(twins.tested->forward(sample.tested, timestep), twins.exact->forward(sample.exact, timestep),
                       placement, roundings);
    };
    return {"UNet2D, " + name, run};
}

}  // namespace

std::vector<Check> unet_2d_checks() {
    const nlohmann::json scale_shift{{"resnet_time_scale_shift", "scale_shift"}, {"attention_head_dim", 8}};
    const nlohmann::json resnet_sampling{
        {"downsample_type", "resnet"}, {"upsample_type", "resnet"}, {"attention_head_dim", 16}};
    const nlohmann::json fourier{{"time_embedding_type", "fourier"}, {"flip_sin_to_cos", true}, {"freq_shift", 0}};
    const nlohmann::json odd{{"block_out_channels", {20, 28}},
                             {"norm_num_groups", 4},
                             {"attention_head_dim", 8},
                             {"downsample_padding", 1},
                             {"mid_block_scale_factor", 1.4142135},
                             {"center_input_sample", true},
                             {"act_fn", "mish"}};
    return {unet_check("as ddpm-cat-256", nlohmann::json::object(), {1, 3, 32, 32}),
            unet_check("batch of 3, 24x40", nlohmann::json::object(), {3, 3, 24, 40}),
            unet_check("scale and shift, heads", scale_shift, {2, 3, 16, 16}),
            unet_check("resnet sampling", resnet_sampling, {2, 3, 16, 16}),
            unet_check("Fourier time embedding", fourier, {2, 3, 16, 16}),
            unet_check("odd channel counts", odd, {1, 3, 20, 12})};
}

}  // namespace diffapple::selftest

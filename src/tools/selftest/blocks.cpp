// The blocks of nn/ on the device, against the same blocks in double precision on the CPU.
#include <ATen/ATen.h>

#include <cmath>

#include "diffapple/nn/embeddings.h"
#include "diffapple/nn/unet_blocks.h"
#include "parts.h"

namespace diffapple::selftest {
namespace {

constexpr uint64_t blocks_seed = 3;
constexpr int64_t temb_channels = 48;
const std::vector<int64_t> temb_shape{1, temb_channels};

using Shapes = std::vector<std::vector<int64_t>>;
using Tensors = std::vector<at::Tensor>;

/// A check of one module: `forward` gives it inputs of the given shapes.
template <typename Module, typename Config, typename Forward>
Check module_check(const std::string& name, const Config& config, const Shapes& shapes, int64_t roundings,
                   Forward forward) {
    const auto run = [=](const Placement& placement) {
        const auto twins = make_twins<Module>(config, placement);
        NoiseSource noise(blocks_seed);
        Tensors tested, exact;
        for (const auto& shape : shapes) {
            const Values values = draw(noise, shape, placement);
            tested.push_back(values.tested);
            exact.push_back(values.exact);
        }
        return compare(forward(*twins.tested, tested), forward(*twins.exact, exact), placement, roundings);
    };
    return {name, run};
}

nn::ResnetConfig resnet_config(int64_t in_channels, int64_t out_channels) {
    return {.in_channels = in_channels,
            .out_channels = out_channels,
            .temb_channels = temb_channels,
            .groups = 4,
            .eps = 1e-5};
}

Check resnet_check(const std::string& name, const nn::ResnetConfig& config) {
    return module_check<nn::ResnetBlock2D>(
        "resnet, " + name, config, {{2, config.in_channels, 10, 14}, temb_shape}, 8,
        [](nn::ResnetBlock2D& block, const Tensors& inputs) { return block.forward(inputs[0], inputs[1]); });
}

std::vector<Check> resnet_checks() {
    nn::ResnetConfig scale_shift = resnet_config(32, 32), up = scale_shift, down = scale_shift;
    scale_shift.time_scale_shift = nn::TimeScaleShift::scale_shift;
    scale_shift.output_scale_factor = std::sqrt(2.0);
    up.resample = nn::Resample::up;
    down.resample = nn::Resample::down;
    return {resnet_check("32 channels", resnet_config(32, 32)),
            resnet_check("20 to 28 channels", resnet_config(20, 28)), resnet_check("scale and shift", scale_shift),
            resnet_check("up", up), resnet_check("down", down)};
}

Check attention_check(const std::string& name, const nn::AttentionConfig& config) {
    return module_check<nn::Attention>(
        "attention block, " + name, config, {{2, config.channels, 9, 8}}, 6,
        [](nn::Attention& attention, const Tensors& inputs) { return attention.forward(inputs[0]); });
}

std::vector<Check> attention_checks() {
    return {
        attention_check("one head", {.channels = 32, .head_dim = 32, .norm_groups = 4, .eps = 1e-5}),
        attention_check("four heads", {.channels = 32, .head_dim = 8, .norm_groups = 4, .eps = 1e-5}),
        attention_check("odd channels, no norm", {.channels = 27, .head_dim = 8, .eps = 1e-5}),
        attention_check("rescaled",
                        {.channels = 32, .head_dim = 8, .norm_groups = 4, .eps = 1e-6, .rescale_output_factor = 2.0})};
}

struct Downsample : nn::Downsample2D {
    explicit Downsample(int64_t padding) : Downsample2D(24, padding) {}
};

struct TimeEmbedding : nn::TimestepEmbedding {
    explicit TimeEmbedding(int64_t dimension) : TimestepEmbedding(32, dimension) {}
};

/// A check of a module whose forward takes one tensor.
template <typename Module>
Check simple_check(const std::string& name, int64_t argument, const std::vector<int64_t>& shape) {
    return module_check<Module>(name, argument, {shape}, 3,
                                [](Module& module, const Tensors& inputs) { return module.forward(inputs[0]); });
}

nn::BlockConfig block_config(nn::Sampler sampler, bool attention) {
    nn::BlockConfig config{.layers = 2, .in_channels = 16, .out_channels = 32, .skip_channels = 16};
    config.resnet = resnet_config(0, 0);
    config.sampler = sampler;
    if (!attention) return config;
    config.attention_head_dim = 8;
    config.attention_groups = 4;
    return config;
}

Check down_block_check(const std::string& name, const nn::BlockConfig& config) {
    return module_check<nn::DownBlock2D>("down block, " + name, config, {{2, 16, 12, 8}, temb_shape}, 30,
                                         [](nn::DownBlock2D& block, const Tensors& inputs) {
                                             Tensors skips;
                                             const auto result = block.forward(inputs[0], inputs[1], skips);
                                             return at::cat({result.flatten(), skips.front().flatten()});
                                         });
}

Check up_block_check(const std::string& name, const nn::BlockConfig& config) {
    const Shapes shapes{{2, 16, 6, 4}, temb_shape, {2, 16, 6, 4}, {2, 32, 6, 4}};
    return module_check<nn::UpBlock2D>("up block, " + name, config, shapes, 30,
                                       [](nn::UpBlock2D& block, const Tensors& inputs) {
                                           Tensors skips{inputs[2], inputs[3]};
                                           return block.forward(inputs[0], inputs[1], skips);
                                       });
}

Check mid_block_check() {
    nn::BlockConfig config = block_config(nn::Sampler::none, /*attention=*/true);
    config.layers = 1;
    config.in_channels = config.out_channels;
    return module_check<nn::UNetMidBlock2D>(
        "mid block", config, {{2, 32, 6, 4}, temb_shape}, 20,
        [](nn::UNetMidBlock2D& block, const Tensors& inputs) { return block.forward(inputs[0], inputs[1]); });
}

}  // namespace

std::vector<Check> block_checks() {
    std::vector<Check> checks = resnet_checks();
    for (auto& check : attention_checks()) checks.push_back(std::move(check));
    const std::vector<int64_t> image{2, 24, 13, 10};
    checks.push_back(simple_check<TimeEmbedding>("time embedding", 48, {2, 32}));
    checks.push_back(simple_check<Downsample>("downsample, padding 0", 0, image));
    checks.push_back(simple_check<Downsample>("downsample, padding 1", 1, image));
    checks.push_back(simple_check<nn::Upsample2D>("upsample", 24, image));
    checks.push_back(down_block_check("convolution", block_config(nn::Sampler::conv, false)));
    checks.push_back(down_block_check("attention, resnet sampler", block_config(nn::Sampler::resnet, true)));
    checks.push_back(mid_block_check());
    checks.push_back(up_block_check("convolution", block_config(nn::Sampler::conv, false)));
    checks.push_back(up_block_check("attention, resnet sampler", block_config(nn::Sampler::resnet, true)));
    return checks;
}

}  // namespace diffapple::selftest

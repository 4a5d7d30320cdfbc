// AutoencoderKL on the device, against itself in double precision on the CPU.
#include "diffapple/models/autoencoder_kl.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "parts.h"

namespace diffapple::selftest {
namespace {

constexpr uint64_t autoencoder_seed = 6;
constexpr int64_t roundings = 100;

/// The smallest autoencoder in the shape of Stable Diffusion's; `changes` replaces keys of its config.
AutoencoderKLConfig small_vae_config(const nlohmann::json& changes) {
    nlohmann::json config{{"block_out_channels", {32, 48}},
                          {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                          {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
                          {"layers_per_block", 2},
                          {"norm_num_groups", 8},
                          {"sample_size", 16}};
    config.update(changes);
    return AutoencoderKLConfig::from_json(JsonFields(config, "selftest"));
}

/// A check of one direction: `forward` is given a model and its input.
template <typename Forward>
Check model_check(const std::string& name, const nlohmann::json& changes, const std::vector<int64_t>& shape,
                  Forward forward) {
    const auto run = [=](const Placement& placement) {
        const auto twins = make_twins<AutoencoderKL>(small_vae_config(changes), placement);
        NoiseSource noise(autoencoder_seed);
        const Values input = draw(noise, shape, placement);
        return compare(forward(*twins.tested, input.tested), forward(*twins.exact, input.exact), placement, roundings);
    };
    return {"autoencoder, " + name, run};
}

Check encode_check(const std::string& name, const nlohmann::json& changes, Tiling tiling) {
    return model_check(name, changes, {2, 3, 24, 40}, [tiling](AutoencoderKL& model, const at::Tensor& image) {
        const Posterior posterior = model.encode(image, tiling);
        return at::cat({posterior.mean, posterior.std});
    });
}

Check decode_check(const std::string& name, const nlohmann::json& changes, Tiling tiling) {
    return model_check(name, changes, {2, 4, 12, 20}, [tiling](AutoencoderKL& model, const at::Tensor& latents) {
        return model.decode(latents, tiling);
    });
}

}  // namespace

std::vector<Check> autoencoder_kl_checks() {
    const nlohmann::json as_usual = nlohmann::json::object();
    const nlohmann::json reduced{
        {"use_quant_conv", false}, {"use_post_quant_conv", false}, {"mid_block_add_attention", false}};
    return {encode_check("encode", as_usual, Tiling::off), decode_check("decode", as_usual, Tiling::off),
            encode_check("encode in tiles", as_usual, Tiling::on),
            decode_check("decode in tiles", as_usual, Tiling::on),
            decode_check("decode, no attention", reduced, Tiling::off)};
}

}  // namespace diffapple::selftest

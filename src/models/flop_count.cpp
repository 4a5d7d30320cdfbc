#include "diffapple/models/flop_count.h"

#include <string>

namespace diffapple {
namespace {

constexpr double multiply_and_add = 2;

bool has_part(const std::string& name, const std::string& part) {
    return name.find(part) != std::string::npos;
}

/// How many times the picture has been halved where a weight is applied: "down_blocks.2..." gives 2. Samplers compute
/// what the neighbouring level sees. `otherwise`: the level of what stands outside the blocks.
int64_t level_of(const std::string& name, int64_t levels, int64_t otherwise) {
    const auto block_number = [&] { return static_cast<int64_t>(std::stoll(name.substr(name.find('.') + 1))); };
    if (name.starts_with("down_blocks.")) return block_number() + (has_part(name, ".downsamplers.") ? 1 : 0);
    if (name.starts_with("up_blocks.")) return levels - 1 - block_number() - (has_part(name, ".upsamplers.") ? 1 : 0);
    return name.starts_with("mid_block.") ? levels - 1 : otherwise;
}

int64_t pixels_at(int64_t level, int64_t height, int64_t width) {
    const auto halved = [level](int64_t size) { return (size + (int64_t{1} << level) - 1) >> level; };
    return halved(height) * halved(width);
}

/// Of one weight that is applied at every position, and, where it makes queries, of their attention to `seen`
/// positions each: Q K^T and its product with V.
double flop_of(const std::string& name, const at::Tensor& weight, double positions, double seen) {
    const double products = multiply_and_add * static_cast<double>(weight.numel()) * positions;
    if (!name.ends_with(".to_q.weight")) return products;
    return products + 2 * multiply_and_add * static_cast<double>(weight.size(0)) * positions * seen;
}

/// Names and weights of a module; biases and norms are left out.
std::vector<std::pair<std::string, at::Tensor>> weights_of(const torch::nn::Module& module) {
    std::vector<std::pair<std::string, at::Tensor>> weights;
    for (const auto& parameter : module.named_parameters(/*recurse=*/true))
        if (parameter.value().dim() >= 2) weights.emplace_back(parameter.key(), parameter.value());
    return weights;
}

/// The time embedding is one vector for every pixel.
bool is_of_time(const std::string& name) {
    return name.starts_with("time_embedding.") || has_part(name, ".time_emb_proj.");
}

/// Computed once per prompt.
bool is_of_prompt(const std::string& name) {
    return name.starts_with("add_embedding.") || name.ends_with(".attn2.to_k.weight") ||
           name.ends_with(".attn2.to_v.weight");
}

}  // namespace

double count_flop(const UNet2DModel& unet, int64_t batch_size, int64_t height, int64_t width) {
    const auto levels = static_cast<int64_t>(unet.config().block_out_channels.size());
    double flop = 0;
    for (const auto& [name, weight] : weights_of(unet)) {
        const auto pixels = static_cast<double>(pixels_at(level_of(name, levels, 0), height, width));
        flop += flop_of(name, weight, is_of_time(name) ? 1 : static_cast<double>(batch_size) * pixels, pixels);
    }
    return flop;
}

double count_flop(const UNet2DConditionModel& unet, int64_t batch_size, int64_t height, int64_t width,
                  int64_t text_length) {
    const auto levels = static_cast<int64_t>(unet.config().block_out_channels.size());
    const auto batch = static_cast<double>(batch_size);
    double flop = 0;
    for (const auto& [name, weight] : weights_of(unet)) {
        if (is_of_prompt(name)) continue;
        const auto pixels = static_cast<double>(pixels_at(level_of(name, levels, 0), height, width));
        // The time is the batch's; with SDXL's added embedding, each picture's embedding is its own.
        const double times = unet.config().text_time && !name.starts_with("time_embedding.") ? batch : 1;
        const double seen = has_part(name, ".attn2.") ? static_cast<double>(text_length) : pixels;
        flop += flop_of(name, weight, is_of_time(name) ? times : batch * pixels, seen);
    }
    return flop;
}

namespace {

/// Of the weights under `prefix`, as those of a UNet of which there is only one half; `inner` is the convolution that
/// touches the latents.
double count_half(const AutoencoderKL& vae, const std::string& prefix, const std::string& inner,
                  const std::string& quantiser, int64_t height, int64_t width) {
    const auto levels = static_cast<int64_t>(vae.config().block_out_channels.size());
    double flop = 0;
    for (const auto& [full_name, weight] : weights_of(vae)) {
        if (!full_name.starts_with(prefix) && !full_name.starts_with(quantiser)) continue;
        const std::string name = full_name.starts_with(prefix) ? full_name.substr(prefix.size()) : full_name;
        const bool of_latents = name.starts_with(inner) || full_name.starts_with(quantiser);
        const int64_t level = level_of(name, levels, of_latents ? levels - 1 : 0);
        const auto pixels = static_cast<double>(pixels_at(level, height, width));
        flop += flop_of(name, weight, pixels, pixels);
    }
    return flop;
}

}  // namespace

double count_encode_flop(const AutoencoderKL& vae, int64_t height, int64_t width) {
    return count_half(vae, "encoder.", "conv_out.", "quant_conv.", height, width);
}

double count_decode_flop(const AutoencoderKL& vae, int64_t height, int64_t width) {
    return count_half(vae, "decoder.", "conv_in.", "post_quant_conv.", height, width);
}

}  // namespace diffapple

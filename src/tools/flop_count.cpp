#include "diffapple/tools/flop_count.h"

#include <string>

namespace diffapple {
namespace {

bool has_part(const std::string& name, const std::string& part) {
    return name.find(part) != std::string::npos;
}

/// How many times the picture has been halved where a weight is applied: "down_blocks.2..." gives 2. Samplers compute
/// what the neighbouring level sees.
int64_t level_of(const std::string& name, int64_t levels) {
    const auto block_number = [&] { return static_cast<int64_t>(std::stoll(name.substr(name.find('.') + 1))); };
    if (name.starts_with("down_blocks.")) return block_number() + (has_part(name, ".downsamplers.") ? 1 : 0);
    if (name.starts_with("up_blocks.")) return levels - 1 - block_number() - (has_part(name, ".upsamplers.") ? 1 : 0);
    return name.starts_with("mid_block.") ? levels - 1 : 0;
}

/// The time embedding is one vector for the whole batch and every pixel.
bool is_of_time(const std::string& name) {
    return name.starts_with("time_embedding.") || has_part(name, ".time_emb_proj.");
}

bool is_of_text(const std::string& name) {
    return name.starts_with("add_embedding.") || has_part(name, ".attn2.to_k.") || has_part(name, ".attn2.to_v.");
}

double count(const torch::nn::Module& unet, int64_t levels, int64_t batch_size, int64_t height, int64_t width,
             int64_t tokens) {
    constexpr double multiply_and_add = 2;
    double flop = 0;
    for (const auto& parameter : unet.named_parameters(/*recurse=*/true)) {
        const std::string& name = parameter.key();
        const at::Tensor& weight = parameter.value();
        if (weight.dim() < 2 || is_of_text(name)) continue;  // biases and norms; once per prompt
        const int64_t level = level_of(name, levels);
        const auto halved = [level](int64_t size) { return (size + (int64_t{1} << level) - 1) >> level; };
        const auto pixels = static_cast<double>(halved(height) * halved(width));
        const double positions = is_of_time(name) ? 1 : static_cast<double>(batch_size) * pixels;
        flop += multiply_and_add * static_cast<double>(weight.numel()) * positions;
        if (!name.ends_with(".to_q.weight")) continue;
        // Q K^T and its product with V: every pixel with every other, or with every token, by channel.
        const double seen = has_part(name, ".attn2.") ? static_cast<double>(tokens) : pixels;
        flop += 2 * multiply_and_add * static_cast<double>(weight.size(0)) * positions * seen;
    }
    return flop;
}

}  // namespace

double count_flop(const UNet2DModel& unet, int64_t batch_size, int64_t height, int64_t width) {
    const auto levels = static_cast<int64_t>(unet.config().block_out_channels.size());
    return count(unet, levels, batch_size, height, width, /*tokens=*/0);
}

double count_flop(const UNet2DConditionModel& unet, int64_t batch_size, int64_t height, int64_t width, int64_t tokens) {
    const auto levels = static_cast<int64_t>(unet.config().block_out_channels.size());
    return count(unet, levels, batch_size, height, width, tokens);
}

}  // namespace diffapple

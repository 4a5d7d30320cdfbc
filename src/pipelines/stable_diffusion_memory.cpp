// What the stages of Stable Diffusion take of memory, and its turns of operations. Activations are estimates, by
// factors that were measured on full-size SD v1.5 (512x512 guided, 1024x1024) and SDXL (512x512) on the CPU in bf16:
// what a stage adds to the weights is a share of them (packing, scratch memory) and a number of tensors of the largest
// size.
#include <algorithm>

#include "diffapple/models/flop_count.h"
#include "diffapple/pipelines/stable_diffusion.h"

namespace diffapple {

StableDiffusion::Sizes StableDiffusion::read_sizes() const {
    const auto size = [this](const std::string& name) { return components_.size(name, placement_of(name)); };
    Sizes sizes{.unet = size("unet"), .vae = size("vae"), .safety_checker = size("safety_checker")};
    for (const auto& name : config_.text_encoders) sizes.text_encoders.push_back(size(name));
    return sizes;
}

uint64_t StableDiffusion::unet_activations(const MemoryRequest& request) const {
    constexpr double share = 0.16, tensors = 35;  // of one sample's input to the first block
    const int64_t factor = config_.vae_scale_factor();
    const int64_t pixels = (request.size.width / factor) * (request.size.height / factor);
    const double unit = static_cast<double>(pixels) * static_cast<double>(config_.unet.block_out_channels.front()) *
                        static_cast<double>(c10::elementSize(request.placement.dtype));
    const auto samples = static_cast<double>(request.guided ? 2 * request.pictures : request.pictures);
    const auto plain = static_cast<double>(sizes_.unet.bytes({request.placement.device, request.placement.dtype}));
    return static_cast<uint64_t>(tensors * unit * samples + share * plain);
}

namespace {

/// What the attention of a VAE holds on mps, where its one large head has no fused kernel: products in fp32, at most as
/// many as ops::attention makes at a time, their softmax, and that in the type of the model.
double products_on_mps(double latents, c10::ScalarType dtype) {
    constexpr double most_bytes = 512 << 20;
    const double bytes = std::min(latents * latents * 4, most_bytes);
    return bytes * (2 + static_cast<double>(c10::elementSize(dtype)) / 4);
}

}  // namespace

uint64_t StableDiffusion::vae_activations(const MemoryRequest& request, c10::ScalarType dtype) const {
    constexpr double share = 3.7, tensors = 3.1;  // of a picture with the channels of the widest full-size layer
    const auto& channels = config_.vae.block_out_channels;
    const auto widest = static_cast<double>(channels[std::min<size_t>(1, channels.size() - 1)]);
    auto [width, height] = request.size;
    if (request.tiling == Tiling::on) {
        width = std::min(width, config_.vae.sample_size);
        height = std::min(height, config_.vae.sample_size);
    }
    const double unit = static_cast<double>(width) * static_cast<double>(height) * widest *
                        static_cast<double>(c10::elementSize(dtype));
    constexpr int64_t bytes_of_pixel = int64_t{2} * 3 * 4;  // three channels in fp32, alone and joined with the others
    const auto pictures =
        static_cast<double>(request.size.width * request.size.height * bytes_of_pixel * request.pictures);
    const auto plain = static_cast<double>(sizes_.vae.bytes({request.placement.device, dtype}));
    const auto factor = static_cast<double>(config_.vae_scale_factor());
    const double latents = static_cast<double>(width) * static_cast<double>(height) / (factor * factor);
    const bool holds_products = request.placement.device.is_mps() && config_.vae.mid_block_add_attention;
    const double products = holds_products ? products_on_mps(latents, dtype) : 0;
    return static_cast<uint64_t>(tensors * unit + pictures + products + share * plain);
}

std::vector<MemoryStage> StableDiffusion::memory_stages(const MemoryRequest& request) const {
    const bool all = request.keep == Keep::all, loop = request.keep != Keep::none;
    const c10::Device device = request.placement.device;
    const c10::ScalarType dtype = request.placement.dtype;
    const auto encoding = config_.encoding_dtype(dtype), decoding = config_.decoding_dtype(dtype);
    const uint64_t unet = sizes_.unet.bytes(request.placement);
    const uint64_t checker = sizes_.safety_checker.bytes({device, dtype});
    const auto vae = [&](c10::ScalarType in) { return sizes_.vae.bytes({device, in}); };
    uint64_t text = 0, largest_text = 0;
    for (const auto& encoder : sizes_.text_encoders) {
        text += encoder.bytes(request.placement);
        largest_text = std::max(largest_text, encoder.bytes(request.placement));
    }
    // What every batch uses, beside the component at work.
    const uint64_t kept = (all ? text : 0) + (loop ? checker : 0);
    constexpr uint64_t text_activations = 5'000'000;
    std::vector<MemoryStage> stages{{"text encoding", all ? text : largest_text, text_activations}};
    if (request.encodes_picture)
        stages.push_back({"VAE encoding", kept + vae(encoding), vae_activations(request, encoding)});
    stages.push_back({"denoising", kept + (loop ? vae(decoding) : 0) + unet, unet_activations(request),
                      sizes_.unet.largest_bytes(request.placement)});
    stages.push_back({"VAE decoding", kept + (loop ? unet : 0) + vae(decoding), vae_activations(request, decoding)});
    constexpr uint64_t checked_picture = 5'000'000;  // of CLIP ViT-L/14 in fp32 five times as much
    if (components_.has("safety_checker"))
        stages.push_back({"safety check", kept + (loop ? unet + vae(decoding) : checker),
                          static_cast<uint64_t>(request.pictures) * checked_picture * (1 + c10::elementSize(dtype))});
    return stages;
}

double StableDiffusion::flop_per_turn(int64_t pictures, Size size, bool guided) const {
    const int64_t factor = config_.vae_scale_factor();
    return count_flop(UNet2DConditionModel(config_.unet), guided ? 2 * pictures : pictures, size.height / factor,
                      size.width / factor);
}

}  // namespace diffapple

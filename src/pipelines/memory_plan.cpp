#include "diffapple/pipelines/memory_plan.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/nn/quantisation.h"

namespace diffapple {
namespace {

std::string megabytes(uint64_t bytes) {
    return concat(bytes / 1'000'000, " MB");
}

/// Tables of vectors are not quantised: their rows are looked up, not computed with.
bool is_table(const std::string& name) {
    return name.ends_with("token_embedding.weight") || name.ends_with("position_embedding.weight");
}

uint64_t elements(const StoredTensor& tensor) {
    uint64_t count = 1;
    for (const int64_t size : tensor.shape) count *= static_cast<uint64_t>(size);
    return count;
}

// Measured on the CPU in bf16 (SD v1.5 at 512x512 guided and 1024x1024, SDXL at 512x512): what a stage adds to the
// weights is a share of them (packing, scratch memory) and a number of tensors of the largest size.
constexpr double unet_share = 0.16, vae_share = 3.7;
/// In units of one sample's input to the UNet's first block.
constexpr double unet_tensors = 35;
/// In units of a picture with the channels of the VAE's widest full-size layer.
constexpr double vae_tensors = 3.1;

uint64_t unet_bytes(const MemorySizes& sizes, const StableDiffusionConfig& config, const MemoryRequest& request) {
    const int64_t factor = config.vae_scale_factor();
    const int64_t pixels = (request.width / factor) * (request.height / factor);
    const double unit = static_cast<double>(pixels) * static_cast<double>(config.unet.block_out_channels.front()) *
                        static_cast<double>(c10::elementSize(request.placement.dtype));
    const auto samples = static_cast<double>(request.guided ? 2 * request.pictures : request.pictures);
    const auto plain = static_cast<double>(sizes.unet.bytes({request.placement.device, request.placement.dtype}));
    return static_cast<uint64_t>(unet_tensors * unit * samples + unet_share * plain);
}

uint64_t vae_bytes(const MemorySizes& sizes, const StableDiffusionConfig& config, const MemoryRequest& request,
                   c10::ScalarType dtype) {
    const auto& channels = config.vae.block_out_channels;
    const auto widest = static_cast<double>(channels[std::min<size_t>(1, channels.size() - 1)]);
    int64_t width = request.width, height = request.height;
    if (request.tiling == Tiling::on) {
        width = std::min(width, config.vae.sample_size);
        height = std::min(height, config.vae.sample_size);
    }
    const double unit = static_cast<double>(width) * static_cast<double>(height) * widest *
                        static_cast<double>(c10::elementSize(dtype));
    constexpr int64_t bytes_of_pixel = int64_t{2} * 3 * 4;  // three channels in fp32, alone and joined with the others
    const auto pictures = static_cast<double>(request.width * request.height * bytes_of_pixel * request.pictures);
    const auto plain = static_cast<double>(sizes.vae.bytes({request.placement.device, dtype}));
    return static_cast<uint64_t>(vae_tensors * unit + pictures + vae_share * plain);
}

}  // namespace

ComponentSize ComponentSize::read(const Component& component, const Placement& placement) {
    ComponentSize size;
    for (const auto& [name, tensor] : open_component(component, placement))
        (nn::is_worth_quantising(tensor.shape) && !is_table(name) ? size.quantisable : size.other) += elements(tensor);
    return size;
}

uint64_t ComponentSize::bytes(const Placement& placement) const {
    const uint64_t element = c10::elementSize(placement.dtype);
    return quantisable * (placement.weights == WeightStorage::int8 ? 1 : element) + other * element;
}

MemorySizes MemorySizes::read(const Checkpoint& checkpoint, const StableDiffusionConfig& config,
                              const Placement& placement) {
    MemorySizes sizes;
    for (const auto& name : config.text_encoders)
        sizes.text_encoders.push_back(ComponentSize::read(checkpoint.component(name), placement));
    sizes.unet = ComponentSize::read(checkpoint.component("unet"), placement);
    sizes.vae = ComponentSize::read(checkpoint.component("vae"), placement);
    return sizes;
}

std::vector<MemoryStage> plan_stages(const MemorySizes& sizes, const StableDiffusionConfig& config,
                                     const MemoryRequest& request) {
    const bool all = request.keep == Keep::all, loop = request.keep != Keep::none;
    const uint64_t unet = sizes.unet.bytes(request.placement);
    const auto vae = [&](c10::ScalarType dtype) { return sizes.vae.bytes({request.placement.device, dtype}); };
    uint64_t text = 0, largest_text = 0;
    for (const auto& encoder : sizes.text_encoders) {
        text += encoder.bytes(request.placement);
        largest_text = std::max(largest_text, encoder.bytes(request.placement));
    }
    const uint64_t kept_text = all ? text : 0;
    const uint64_t kept_vae = loop ? vae(request.vae_dtype) : 0;
    constexpr uint64_t text_activations = 5'000'000;
    std::vector<MemoryStage> stages{{"text encoding", all ? text : largest_text, text_activations}};
    if (request.encodes_picture) {
        const auto dtype = config.upcasts_vae() ? c10::kFloat : request.placement.dtype;
        stages.push_back({"VAE encoding", kept_text + vae(dtype), vae_bytes(sizes, config, request, dtype)});
    }
    stages.push_back({"denoising", kept_text + kept_vae + unet, unet_bytes(sizes, config, request)});
    stages.push_back({"VAE decoding", kept_text + (loop ? unet : 0) + vae(request.vae_dtype),
                      vae_bytes(sizes, config, request, request.vae_dtype)});
    return stages;
}

const MemoryStage& largest_stage(const std::vector<MemoryStage>& stages) {
    return *std::max_element(stages.begin(), stages.end(),
                             [](const MemoryStage& a, const MemoryStage& b) { return a.bytes() < b.bytes(); });
}

uint64_t base_memory(c10::Device device) {
    constexpr uint64_t program_and_libtorch = 190'000'000;
    return device.is_cpu() ? program_and_libtorch : 0;
}

std::string MemoryPlan::describe() const {
    std::string text = "memory plan:";
    for (const auto& stage : stages)
        text += concat(' ', stage.name, ' ', megabytes(stage.weights), " of weights and ", megabytes(stage.activations),
                       " of activations;");
    text += concat(" in all at most ", megabytes(needed), " of ", megabytes(free), " that are free; ");
    text += keep == Keep::all    ? "all components stay loaded"
            : keep == Keep::loop ? "UNet and VAE stay loaded"
                                 : "one component at a time is loaded";
    return text + (tiling == Tiling::on ? "; the VAE works in tiles" : "");
}

MemoryPlan plan_memory(const MemorySizes& sizes, const StableDiffusionConfig& config, MemoryRequest request,
                       std::optional<Tiling> tiling, uint64_t free) {
    const auto plan_for = [&](Keep keep, Tiling tiles) {
        request.keep = keep;
        request.tiling = tiles;
        MemoryPlan plan{.keep = keep, .tiling = tiles, .stages = plan_stages(sizes, config, request), .free = free};
        plan.needed = largest_stage(plan.stages).bytes() + base_memory(request.placement.device);
        return plan;
    };
    const Keep wanted = request.keep;
    for (const Keep keep : {Keep::all, Keep::loop, Keep::none}) {
        if (keep > wanted) continue;
        MemoryPlan plan = plan_for(keep, tiling.value_or(Tiling::off));
        if (plan.fits()) return plan;
    }
    return plan_for(Keep::none, tiling.value_or(Tiling::on));
}

std::string advise(const MemorySizes& sizes, const StableDiffusionConfig& config, const MemoryRequest& request,
                   uint64_t free) {
    struct Choice {
        std::string option;
        MemoryRequest request;
    };
    std::vector<Choice> choices;
    const auto with = [&](const std::string& option, const auto& change) {
        MemoryRequest changed = request;
        change(changed);
        choices.push_back({option, changed});
    };
    const auto to_bf16 = [](MemoryRequest& r) { r.placement.dtype = r.vae_dtype = c10::kBFloat16; };
    const auto to_int8 = [](MemoryRequest& r) { r.placement.weights = WeightStorage::int8; };
    const auto to_one = [](MemoryRequest& r) { r.pictures = 1, r.guided = false; };
    constexpr int64_t small = 512;
    const auto to_small = [](MemoryRequest& r) { r.width = r.height = small; };
    if (request.placement.dtype == c10::kFloat) with("--dtype bf16", to_bf16);
    if (request.placement.weights == WeightStorage::as_is) with("--weights int8", to_int8);
    if (request.width * request.height > small * small) with("--width 512 --height 512", to_small);
    with("one --prompt, --batch-size 1 and --guidance 0", to_one);
    with("--dtype bf16 --weights int8", [&](MemoryRequest& r) { to_bf16(r), to_int8(r); });
    with("--dtype bf16 --weights int8 --width 512 --height 512, one --prompt, --batch-size 1 and --guidance 0",
         [&](MemoryRequest& r) { to_bf16(r), to_int8(r), to_small(r), to_one(r); });
    for (const auto& choice : choices) {
        const auto plan = plan_memory(sizes, config, choice.request, Tiling::on, free);
        if (plan.fits()) return concat(choice.option, " (", megabytes(plan.needed), ")");
    }
    return "";
}

uint64_t free_memory(c10::Device device) {
    if (const char* const given = std::getenv("DIFFAPPLE_FREE_MEMORY"); given && *given != '\0') {
        uint64_t bytes = 0;
        const char* const end = given + std::strlen(given);
        const auto [parsed, error] = std::from_chars(given, end, bytes);
        if (error != std::errc() || parsed != end)
            fail("DIFFAPPLE_FREE_MEMORY '", given, "': must be a number of bytes");
        return bytes;
    }
    for (const auto& info : list_devices())
        if (info.name == device_name(device) && info.free_memory) return *info.free_memory;
    return std::numeric_limits<uint64_t>::max();  // a device that does not tell: nothing is refused
}

}  // namespace diffapple

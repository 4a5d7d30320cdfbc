#include "diffapple/pipelines/memory_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/pipelines/pipeline.h"

namespace diffapple {
namespace {

std::string megabytes(uint64_t bytes) {
    return concat(bytes / 1'000'000, " MB");
}

}  // namespace

const MemoryStage& largest_stage(const std::vector<MemoryStage>& stages) {
    return *std::max_element(stages.begin(), stages.end(),
                             [](const MemoryStage& a, const MemoryStage& b) { return a.bytes() < b.bytes(); });
}

uint64_t base_memory(c10::Device device) {
    // mps: LibTorch takes Metal's memory in heaps of 1 GiB, and what is compiled (kernels, graphs) lies beside it.
    constexpr uint64_t program_and_libtorch = 190'000'000, metal = 1'200'000'000;
    return device.is_cpu() ? program_and_libtorch : device.is_mps() ? metal : 0;
}

std::string MemoryPlan::describe() const {
    std::string text = "memory plan:";
    for (const auto& stage : stages) {
        text += concat(' ', stage.name, ' ', megabytes(stage.weights), " of weights");
        if (stage.loading > 0) text += concat(" (loaded with ", megabytes(stage.loading), " beside them)");
        text += concat(" and ", megabytes(stage.activations), " of activations;");
    }
    text += concat(" in all at most ", megabytes(needed), " of ", megabytes(free), " that are free; ");
    if (stages.size() == 1) return text + "the one component stays loaded";
    text += keep == Keep::all    ? "all components stay loaded"
            : keep == Keep::loop ? "UNet and VAE stay loaded"
                                 : "one component at a time is loaded";
    return text + (tiling == Tiling::on ? "; the VAE works in tiles" : "");
}

MemoryPlan plan_memory(const Pipeline& pipeline, MemoryRequest request, std::optional<Tiling> tiling, uint64_t free) {
    const auto plan_for = [&](Keep keep, Tiling tiles) {
        request.keep = keep;
        request.tiling = tiles;
        MemoryPlan plan{.keep = keep, .tiling = tiles, .stages = pipeline.memory_stages(request), .free = free};
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

namespace {

/// A way to need less memory: options of the command line, and what they change.
struct Saving {
    std::string options;
    std::function<void(MemoryRequest&)> apply;
};

void to_bf16(MemoryRequest& request) {
    request.placement.dtype = c10::kBFloat16;
}

void to_int8(MemoryRequest& request) {
    request.placement.weights = WeightStorage::int8;
}

bool is_larger(Size size, Size other) {
    return size.width * size.height > other.width * other.height;
}

/// A size of the same shape with the pixels of 512x512.
Size small_size(Size size, int64_t factor) {
    constexpr double side = 512;
    const double scale = side / std::sqrt(static_cast<double>(size.width) * static_cast<double>(size.height));
    const auto scaled = [&](int64_t length) {
        const double wanted = static_cast<double>(length) * scale / static_cast<double>(factor);
        return std::max<int64_t>(static_cast<int64_t>(wanted + 0.5), 1) * factor;
    };
    return {scaled(size.width), scaled(size.height)};
}

/// For models with prompts.
std::vector<Saving> latent_savings(const MemoryRequest& request, const ModelTraits& traits) {
    constexpr Size square{512, 512};
    const Size small = is_larger(request.size, square) ? small_size(request.size, traits.size_factor) : square;
    const std::string smaller = concat("--width ", small.width, " --height ", small.height);
    const auto to_small = [small](MemoryRequest& r) { r.size = small; };
    const auto to_one = [](MemoryRequest& r) { r.pictures = 1, r.guided = false; };
    std::vector<Saving> savings;
    if (request.placement.dtype == c10::kFloat) savings.push_back({"--dtype bf16", to_bf16});
    if (request.placement.weights == WeightStorage::as_is) savings.push_back({"--weights int8", to_int8});
    if (is_larger(request.size, small)) savings.push_back({smaller, to_small});
    savings.push_back({"one --prompt, --batch-size 1 and --guidance 0", to_one});
    savings.push_back({"--dtype bf16 --weights int8", [](MemoryRequest& r) { to_bf16(r), to_int8(r); }});
    savings.push_back({"--dtype bf16 --weights int8 " + smaller + ", one --prompt, --batch-size 1 and --guidance 0",
                       [=](MemoryRequest& r) { to_bf16(r), to_int8(r), to_small(r), to_one(r); }});
    return savings;
}

/// For models without prompts, whose weights are held as they are.
std::vector<Saving> pixel_savings(const MemoryRequest& request, const ModelTraits& traits) {
    const Size small = traits.default_size.value_or(request.size);
    std::vector<Saving> savings;
    if (request.placement.dtype == c10::kFloat) savings.push_back({"--dtype bf16", to_bf16});
    if (request.pictures > 1) savings.push_back({"--batch-size 1", [](MemoryRequest& r) { r.pictures = 1; }});
    if (is_larger(request.size, small))
        savings.push_back({concat("--width ", small.width, " --height ", small.height),
                           [small](MemoryRequest& r) { r.size = small; }});
    if (savings.size() < 2) return savings;
    std::vector<std::string> options;
    for (const auto& saving : savings) options.push_back(saving.options);
    savings.push_back({join(options, " "), [all = savings](MemoryRequest& r) {
                           for (const auto& saving : all) saving.apply(r);
                       }});
    return savings;
}

}  // namespace

std::string advise(const Pipeline& pipeline, const MemoryRequest& request, uint64_t free) {
    const ModelTraits& traits = pipeline.traits();
    for (const auto& saving : traits.has_prompts ? latent_savings(request, traits) : pixel_savings(request, traits)) {
        MemoryRequest changed = request;
        saving.apply(changed);
        const auto plan = plan_memory(pipeline, changed, Tiling::on, free);
        if (plan.fits()) return concat(saving.options, " (", megabytes(plan.needed), ")");
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

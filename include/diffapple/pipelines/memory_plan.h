// How much memory a run of Stable Diffusion will need, from the headers of its files and the shapes of its tensors,
// before anything is loaded; and what to do so that it fits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/placement.h"
#include "diffapple/pipelines/stable_diffusion.h"

namespace diffapple {

/// Elements of a component's weights, by what --weights int8 does with them.
struct ComponentSize {
    uint64_t quantisable = 0, other = 0;

    /// From the headers of its files.
    static ComponentSize read(const Component& component, const Placement& placement);
    uint64_t bytes(const Placement& placement) const;
};

/// A checkpoint as the plan sees it.
struct MemorySizes {
    std::vector<ComponentSize> text_encoders;
    ComponentSize unet, vae;

    static MemorySizes read(const Checkpoint& checkpoint, const StableDiffusionConfig& config,
                            const Placement& placement);
};

/// What a run does, as far as its memory depends on it.
struct MemoryRequest {
    Placement placement;
    c10::ScalarType vae_dtype;
    int64_t width, height;         ///< of a picture, pixels
    int64_t pictures;              ///< of a batch
    bool guided;                   ///< the UNet sees each of them twice
    bool encodes_picture = false;  ///< image to image, inpainting
    Keep keep = Keep::none;
    Tiling tiling = Tiling::off;
};

/// One stage of a run: what is loaded during it, and its activations. Bytes.
struct MemoryStage {
    std::string name;
    uint64_t weights = 0, activations = 0;
    uint64_t bytes() const { return weights + activations; }
};

/// The stages in the order in which they run. Activations are estimates, by factors that were measured on full-size
/// SD v1.5 (512x512, 1024x1024) and SDXL (512x512) on the CPU.
std::vector<MemoryStage> plan_stages(const MemorySizes& sizes, const StableDiffusionConfig& config,
                                     const MemoryRequest& request);

/// The largest stage.
const MemoryStage& largest_stage(const std::vector<MemoryStage>& stages);

/// What the program needs beside its stages: code and LibTorch's own memory, on the CPU.
uint64_t base_memory(c10::Device device);

/// How a run fits into the memory that is free.
struct MemoryPlan {
    Keep keep = Keep::none;
    Tiling tiling = Tiling::off;
    std::vector<MemoryStage> stages;
    uint64_t needed = 0;  ///< bytes, all in all
    uint64_t free = 0;
    bool fits() const { return needed <= free; }
    /// A line for each stage, and what was decided.
    std::string describe() const;
};

/// Keeps as much loaded as `request.keep` says and as fits, then falls back to less. `tiling` absent: on only where the
/// VAE would not fit without.
MemoryPlan plan_memory(const MemorySizes& sizes, const StableDiffusionConfig& config, MemoryRequest request,
                       std::optional<Tiling> tiling, uint64_t free);

/// Which option would make a run fit that does not: "--dtype bf16 (4.1 GB)"; "" where none of them would.
std::string advise(const MemorySizes& sizes, const StableDiffusionConfig& config, const MemoryRequest& request,
                   uint64_t free);

/// Memory that is free on a device, in bytes: what $DIFFAPPLE_FREE_MEMORY says, else what the system says. Throws Error
/// when the variable is no number.
uint64_t free_memory(c10::Device device);

}  // namespace diffapple

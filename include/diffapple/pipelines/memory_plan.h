// How much memory a run will need, from the headers of its files and the shapes of its tensors, before anything is
// loaded; and what to do so that it fits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/component_store.h"
#include "diffapple/models/placement.h"

namespace diffapple {

class Pipeline;

/// What a run does, as far as its memory depends on it.
struct MemoryRequest {
    Placement placement;
    Size size;                     ///< of a picture, in pixels
    int64_t pictures = 1;          ///< of a batch
    bool guided = false;           ///< the UNet sees each of them twice
    bool encodes_picture = false;  ///< image to image, inpainting
    Keep keep = Keep::none;
    Tiling tiling = Tiling::off;
};

/// One stage of a run: what is loaded during it, and its activations. Bytes.
struct MemoryStage {
    std::string name;
    uint64_t weights = 0, activations = 0;
    uint64_t loading = 0;  ///< beside the weights while they are loaded: the largest tensor
    uint64_t bytes() const { return weights + std::max(activations, loading); }
};

/// The largest stage; there is at least one.
const MemoryStage& largest_stage(const std::vector<MemoryStage>& stages);

/// What the program needs beside its stages: code and LibTorch's own memory on the CPU, heaps not yet full on mps.
uint64_t base_memory(c10::Device device);

/// How a run fits into the memory that is free.
struct MemoryPlan {
    Keep keep = Keep::none;
    Tiling tiling = Tiling::off;
    std::vector<MemoryStage> stages;  ///< in the order in which they run
    uint64_t needed = 0;              ///< bytes, all in all
    uint64_t free = 0;
    bool fits() const { return needed <= free; }
    /// A line for each stage, and what was decided.
    std::string describe() const;
};

/// Keeps as much loaded as `request.keep` says and as fits, then falls back to less. `tiling` absent: on only where the
/// VAE would not fit without.
MemoryPlan plan_memory(const Pipeline& pipeline, MemoryRequest request, std::optional<Tiling> tiling, uint64_t free);

/// Which options of the model would make a run fit that does not: "--dtype bf16 (4100 MB)"; "" where none of them
/// would.
std::string advise(const Pipeline& pipeline, const MemoryRequest& request, uint64_t free);

/// Memory that is free on a device, in bytes: what $DIFFAPPLE_FREE_MEMORY says, else what the system says. Throws Error
/// when the variable is no number.
uint64_t free_memory(c10::Device device);

}  // namespace diffapple

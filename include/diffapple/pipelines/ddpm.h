// Unconditional pictures from a pixel-space UNet (Ho et al. 2020); diffusers' DDPMPipeline.
#pragma once

#include <memory>
#include <optional>

#include "diffapple/models/checkpoint.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/pipelines/denoise.h"

namespace diffapple {

class DDPMPipeline {
public:
    /// Loads the UNet of a checkpoint. Throws Error for anything about it that does not fit.
    DDPMPipeline(const Checkpoint& checkpoint, const Placement& placement);
    /// Takes a UNet whose weights are in place already.
    DDPMPipeline(std::shared_ptr<UNet2DModel> unet, const Placement& placement);

    struct Request {
        int64_t batch_size, height, width;
        std::optional<at::Tensor> start_noise;  ///< unit noise [N, C, H, W] instead of a draw
    };
    /// Samples a batch. The scheduler must be a new one.
    Denoised sample(const Request& request, Scheduler& scheduler, NoiseSource& noise, const OnTurn& on_turn);

    const UNet2DConfig& unet_config() const { return unet_->config(); }

    /// Size of a picture: what was asked for, else the checkpoint's own. Throws Error (exit code 2) for a size that the
    /// UNet cannot make, or when neither is given.
    static std::pair<int64_t, int64_t> picture_size(const UNet2DConfig& config, std::optional<int64_t> width,
                                                    std::optional<int64_t> height);

private:
    std::shared_ptr<UNet2DModel> unet_;
    Placement placement_;
};

}  // namespace diffapple

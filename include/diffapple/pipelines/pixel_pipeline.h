// Unconditional pictures from a pixel-space UNet (Ho et al. 2020); diffusers' DDPMPipeline.
#pragma once

#include "diffapple/models/unet_2d.h"
#include "diffapple/pipelines/pipeline.h"

namespace diffapple {

class PixelPipeline final : public Pipeline {
public:
    /// Of the component "unet" (UNet2DModel).
    PixelPipeline(std::vector<ComponentDescription> components, UNet2DConfig config, const Placement& placement);
    /// From the files of a checkpoint. Throws as open_pipeline.
    static std::unique_ptr<PixelPipeline> open(const Checkpoint& checkpoint, const Placement& placement);

    const ModelTraits& traits() const override { return traits_; }
    const Placement& placement() const override { return placement_; }
    ComponentStore& components() override { return components_; }
    std::map<std::string, c10::ScalarType> dtypes() const override { return {{"unet", placement_.dtype}}; }

    std::vector<int64_t> latents_shape(int64_t pictures, Size size) const override;
    /// The activations are an estimate, by factors that were measured on google/ddpm-cat-256 and the demo on the CPU.
    std::vector<MemoryStage> memory_stages(const MemoryRequest& request) const override;
    double flop_per_turn(int64_t pictures, Size size, bool guided) const override;

    Start start(const BatchRequest& request, const Scheduler& scheduler, NoiseSource& noise) override;
    Predict predict(const BatchRequest& request, const Start& start, const std::vector<double>& timesteps) override;
    at::Tensor decode(const at::Tensor& sample) override { return sample; }
    at::Tensor preview(const at::Tensor& sample) const override { return sample.cpu(); }

private:
    ComponentStore components_;
    UNet2DConfig config_;
    Placement placement_;
    ModelTraits traits_;
    ComponentSize unet_size_;
};

}  // namespace diffapple

#include "diffapple/experiments/ddpm_experiment.h"

#include <chrono>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/pipelines/ddpm.h"
#include "diffapple/pipelines/image_processor.h"

namespace diffapple {
namespace {

class DDPMExperiment final : public Experiment {
public:
    DDPMExperiment(const StudyExperiment& kind, const RunSettings& settings) : context_(open_run(kind, settings)) {
        const Component unet = context_.checkpoint.component("unet");
        const auto config = UNet2DConfig::from_json(JsonFields(unet.config, unet.where()));
        if (config.in_channels == 2 || config.in_channels > 4)
            fail("model ", context_.checkpoint.name, ": makes pictures of ", config.in_channels,
                 " channels, but a PNG has 1, 3 or 4; `diffapple ddpm` runs pixel-space models");
        std::tie(context_.width, context_.height) = DDPMPipeline::picture_size(config, settings.width, settings.height);
        context_.default_size = context_.width == config.sample_width && context_.height == config.sample_height;
        identify(context_, unet, context_.placement.dtype == at::kHalf);
        read_start_latents(context_, {settings.batch_size, config.in_channels, context_.height, context_.width});
    }

    const RunContext& context() const override { return context_; }
    int64_t pictures_per_batch() const override { return context_.settings.batch_size; }
    void set_prompts(std::vector<std::string> /*prompts*/) override { fail_usage("ddpm: takes no prompts"); }
    void check(const BatchSettings& batch) const override { context_.new_scheduler(batch); }

    Recipe recipe(const BatchSettings& batch, int64_t index) const override {
        return base_recipe(context_, batch, index, nlohmann::json::object(),
                           {{"unet", dtype_name(context_.placement.dtype)}});
    }

    PictureName name(const BatchSettings& batch, int64_t index) const override {
        return base_name(context_, batch, index);
    }

    MadeBatch make(const BatchSettings& batch, bool /*last*/, Reporter& reporter) override {
        if (!pipeline_) load(reporter);
        const auto scheduler = context_.new_scheduler(batch);
        NoiseSource noise(batch.seed);
        const Denoised denoised =
            pipeline_->sample({.batch_size = context_.settings.batch_size,
                               .height = context_.height,
                               .width = context_.width,
                               .start_noise = context_.latents},
                              *scheduler, noise, [&](size_t done, size_t total) { reporter.turn(done, total); });
        return {.denoised = denoised, .images = to_images(denoised.sample)};
    }

private:
    void load(Reporter& reporter) {
        const auto start = std::chrono::steady_clock::now();
        pipeline_.emplace(context_.checkpoint, context_.placement);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        reporter.detail(concat("loaded ", context_.checkpoint.name, " from ", context_.checkpoint.folder.string(),
                               " as ", dtype_name(context_.placement.dtype), " on ",
                               device_name(context_.placement.device), " in ", elapsed.count(), " s"));
    }

    RunContext context_;
    std::optional<DDPMPipeline> pipeline_;
};

}  // namespace

std::unique_ptr<Experiment> open_ddpm_experiment(const StudyExperiment& kind, const RunSettings& settings) {
    return std::make_unique<DDPMExperiment>(kind, settings);
}

}  // namespace diffapple

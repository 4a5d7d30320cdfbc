// The experiment without prompts for bench: pixel DDPM.
#include "diffapple/pipelines/ddpm.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "diffapple/io/png.h"
#include "diffapple/pipelines/image_processor.h"
#include "diffapple/tools/bench/flop_count.h"
#include "diffapple/tools/bench/model.h"

namespace diffapple {
namespace {

class DDPMBench final : public BenchModel {
public:
    explicit DDPMBench(DDPMPipeline pipeline) : pipeline_(std::move(pipeline)) {}

    bool encode(const BenchShape&) override { return false; }

    double denoise(const BenchShape& shape, int64_t turns) override {
        const auto scheduler = make_scheduler("ddpm", nlohmann::json::object(), "bench", {.steps = turns});
        NoiseSource noise(/*seed=*/0);
        const DDPMPipeline::Request request{
            .batch_size = shape.batch_size, .height = shape.height, .width = shape.width};
        const Denoised denoised = pipeline_.sample(request, *scheduler, noise, [](size_t, size_t) {});
        sample_ = denoised.sample;
        return denoised.seconds;
    }

    void decode(const BenchShape&) override {
        for (const auto& image : to_images(sample_)) encode_png(image, {});
    }

private:
    DDPMPipeline pipeline_;
    at::Tensor sample_;
};

std::shared_ptr<UNet2DModel> make_unet(const StudyExperiment& study) {
    const std::string where = "built-in config of " + study.model();
    const auto config = parse_json(study.config("unet"), where);
    return std::make_shared<UNet2DModel>(UNet2DConfig::from_json(JsonFields(config, where)));
}

std::unique_ptr<BenchModel> load(const StudyExperiment& study, const Placement& placement, bool random) {
    if (!random) return std::make_unique<DDPMBench>(DDPMPipeline(require_study_checkpoint(study), placement));
    auto unet = make_unet(study);
    load_random_state(*unet, /*seed=*/0, placement);
    return std::make_unique<DDPMBench>(DDPMPipeline(std::move(unet), placement));
}

}  // namespace

BenchExperiment ddpm_bench(const StudyExperiment& study) {
    const auto unet = make_unet(study);  // takes no memory until weights are loaded
    return {.name = study.name,
            .model = study.model(),
            .study_shape = study_shape(study),
            .size_factor = unet->config().size_factor(),
            .parameters = parameter_count(*unet),
            .flop_per_step = [unet](const BenchShape& s) { return count_flop(*unet, s.batch_size, s.height, s.width); },
            .flop_to_encode = [](const BenchShape&) { return 0.0; },
            .flop_to_decode = [](const BenchShape&) { return 0.0; },
            .load = [study](const Placement& placement, bool random) { return load(study, placement, random); }};
}

}  // namespace diffapple

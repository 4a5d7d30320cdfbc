// The DDPM experiment for bench: google/ddpm-cat-256.
#include "diffapple/pipelines/ddpm.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "diffapple/io/png.h"
#include "diffapple/pipelines/image_processor.h"
#include "diffapple/tools/bench/flop_count.h"
#include "diffapple/tools/bench/model.h"
#include "diffapple/tools/study_configs.h"

namespace diffapple {
namespace {

constexpr const char* model_name = "google/ddpm-cat-256";

class DDPMBench final : public BenchModel {
public:
    explicit DDPMBench(DDPMPipeline pipeline) : pipeline_(std::move(pipeline)) {}

    bool encode(const BenchShape&) override { return false; }

    double denoise(const BenchShape& shape, int64_t turns) override {
        const auto scheduler = make_scheduler("ddpm", nlohmann::json::object(), "bench", {.steps = turns});
        NoiseSource noise(/*seed=*/0);
        const DDPMPipeline::Request request{
            .batch_size = shape.batch_size, .height = shape.size.height, .width = shape.size.width};
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

std::shared_ptr<UNet2DModel> make_unet() {
    const auto config = parse_json(ddpm_cat_config(), "built-in config of google/ddpm-cat-256");
    return std::make_shared<UNet2DModel>(UNet2DConfig::from_json(JsonFields(config, model_name)));
}

std::unique_ptr<BenchModel> load(const Placement& placement, bool random) {
    if (!random) return std::make_unique<DDPMBench>(DDPMPipeline(require_checkpoint(model_name), placement));
    auto unet = make_unet();
    load_random_state(*unet, /*seed=*/0, placement);
    return std::make_unique<DDPMBench>(DDPMPipeline(std::move(unet), placement));
}

}  // namespace

BenchExperiment ddpm_bench() {
    const auto unet = make_unet();  // takes no memory until weights are loaded
    const UNet2DConfig& config = unet->config();
    return {.name = "ddpm",
            .model = model_name,
            .study_shape = {.batch_size = 1, .size = {*config.sample_width, *config.sample_height}},
            .size_factor = config.size_factor(),
            .parameters = parameter_count(*unet),
            .flop_per_step =
                [unet](const BenchShape& s) { return count_flop(*unet, s.batch_size, s.size.height, s.size.width); },
            .flop_to_encode = [](const BenchShape&) { return 0.0; },
            .flop_to_decode = [](const BenchShape&) { return 0.0; },
            .load = load};
}

}  // namespace diffapple

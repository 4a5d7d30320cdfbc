// The DDPM experiment for bench: google/ddpm-cat-256.
#include <nlohmann/json.hpp>

#include "diffapple/pipelines/pixel_pipeline.h"
#include "diffapple/tools/bench/flop_count.h"
#include "diffapple/tools/bench/model.h"
#include "diffapple/tools/study_configs.h"
#include "random_model.h"

namespace diffapple {
namespace {

constexpr const char* model_name = "google/ddpm-cat-256";

std::shared_ptr<UNet2DModel> make_unet() {
    const auto config = parse_json(ddpm_cat_config(), "built-in config of google/ddpm-cat-256");
    return std::make_shared<UNet2DModel>(UNet2DConfig::from_json(JsonFields(config, model_name)));
}

std::unique_ptr<Pipeline> random_pixel_pipeline(const Placement& placement) {
    const UNet2DConfig config = make_unet()->config();
    const auto load = [config](const Placement& wanted) {
        return packed(make_random<UNet2DModel>(config, /*seed=*/0, wanted));
    };
    return std::make_unique<PixelPipeline>(std::vector<ComponentDescription>{{.name = "unet", .load = load}}, config,
                                           placement);
}

std::unique_ptr<BenchModel> load(const Placement& placement, bool random) {
    constexpr double unguided = 1;
    return load_pipeline(random ? random_pixel_pipeline(placement)
                                : open_pipeline(require_checkpoint(model_name), placement, false),
                         unguided);
}

}  // namespace

BenchExperiment ddpm_bench() {
    const auto unet = make_unet();  // takes no memory until weights are loaded
    const UNet2DConfig& config = unet->config();
    return {.name = "ddpm",
            .model = model_name,
            .study_shape = {.batch_size = 1, .width = config.sample_size->width, .height = config.sample_size->height},
            .size_factor = config.size_factor(),
            .parameters = parameter_count(*unet),
            .flop_per_step = [unet](const BenchShape& s) { return count_flop(*unet, s.batch_size, s.height, s.width); },
            .flop_to_encode = [](const BenchShape&) { return 0.0; },
            .flop_to_decode = [](const BenchShape&) { return 0.0; },
            .load = load};
}

}  // namespace diffapple

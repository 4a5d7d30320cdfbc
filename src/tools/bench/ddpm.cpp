// The experiment without prompts for bench: pixel DDPM.
#include <nlohmann/json.hpp>

#include "diffapple/io/json_fields.h"
#include "diffapple/models/flop_count.h"
#include "diffapple/pipelines/pixel_pipeline.h"
#include "diffapple/tools/bench/model.h"
#include "random_model.h"

namespace diffapple {
namespace {

std::shared_ptr<UNet2DModel> make_unet(const StudyExperiment& study) {
    const std::string where = "built-in config of " + study.model();
    const auto config = parse_json(study.config("unet"), where);
    return std::make_shared<UNet2DModel>(UNet2DConfig::from_json(JsonFields(config, where)));
}

std::unique_ptr<Pipeline> random_pixel_pipeline(const UNet2DConfig& config, const Placement& placement) {
    const auto load = [config](const Placement& wanted) {
        return packed(make_random<UNet2DModel>(config, /*seed=*/0, wanted));
    };
    return std::make_unique<PixelPipeline>(std::vector<ComponentDescription>{{.name = "unet", .load = load}}, config,
                                           placement);
}

}  // namespace

BenchExperiment ddpm_bench(const StudyExperiment& study) {
    const auto unet = make_unet(study);  // takes no memory until weights are loaded
    const auto load = [study, unet](const Placement& placement, bool random) {
        return load_pipeline(random ? random_pixel_pipeline(unet->config(), placement)
                                    : open_pipeline(require_study_checkpoint(study), placement, false),
                             study.guidance);
    };
    return {.name = study.name,
            .model = study.model(),
            .study_shape = study_shape(study),
            .size_factor = unet->config().size_factor(),
            .parameters = parameter_count(*unet),
            .flop_per_step =
                [unet](const BenchShape& s) { return count_flop(*unet, s.batch_size, s.size.height, s.size.width); },
            .flop_to_encode = [](const BenchShape&) { return 0.0; },
            .flop_to_decode = [](const BenchShape&) { return 0.0; },
            .load = load};
}

}  // namespace diffapple

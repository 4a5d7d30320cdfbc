// Operations of the study's UNets, built from their own configs without weights.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/io/json_fields.h"
#include "diffapple/models/flop_count.h"
#include "diffapple/study/study.h"

namespace diffapple {
namespace {

std::shared_ptr<UNet2DConditionModel> make_unet(const std::string& experiment) {
    const auto config = parse_json(find_study_experiment(experiment).config("unet"), experiment);
    return std::make_shared<UNet2DConditionModel>(UNet2DConditionConfig::from_json(JsonFields(config, experiment)));
}

/// Attentions of one level: to all pixels and to 77 tokens, by channel, two products of two operations each.
double attention_flop(double attentions, double channels, double pixels) {
    return attentions * 4 * channels * pixels * (pixels + 77);
}

/// torch's FlopCounterMode on diffusers gives 1,354 G and 1,534 G on the CPU. It does not know the CPU's fused
/// attention, and it counts what is done once per prompt here: keys and values of the texts (5.9 G and 52.5 G).
TEST(UNet2DCondition, OperationsOfTheStudysModels) {
    const double attention_of_v1 = attention_flop(5, 320, 4096) + attention_flop(5, 640, 1024) +
                                   attention_flop(5, 1280, 256) + attention_flop(1, 1280, 64);
    EXPECT_NEAR(count_flop(*make_unet("sd15"), 2, 64, 64), 1354e9 - 5.9e9 + 2 * attention_of_v1, 1e9);
    const double attention_of_xl = attention_flop(10, 640, 1024) + attention_flop(60, 1280, 256);
    EXPECT_NEAR(count_flop(*make_unet("sdxl-turbo"), 1, 64, 64), 1534e9 - 52.5e9 + attention_of_xl, 1e9);
}

}  // namespace
}  // namespace diffapple

// The safety checker's image encoder on the device, against itself in double precision on the CPU.
#include "diffapple/models/safety_checker.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "parts.h"

namespace diffapple::selftest {
namespace {

SafetyCheckerConfig small_checker_config() {
    const nlohmann::json vision{{"hidden_size", 64},        {"intermediate_size", 128}, {"num_hidden_layers", 2},
                                {"num_attention_heads", 4}, {"image_size", 56},         {"patch_size", 14}};
    const nlohmann::json config{{"vision_config", vision}, {"projection_dim", 48}};
    return SafetyCheckerConfig::from_json(JsonFields(config, "selftest"));
}

Comparison check_embedding(const Placement& placement) {
    constexpr int64_t roundings = 40;
    const auto twins = make_twins<SafetyCheckerModel>(small_checker_config(), placement);
    NoiseSource noise(/*seed=*/7);
    const Values image = draw(noise, {2, 3, 56, 56}, placement);
    return compare(twins.tested->embed(image.tested), twins.exact->embed(image.exact), placement, roundings);
}

}  // namespace

std::vector<Check> safety_checker_checks() {
    return {{"safety checker, embedding", check_embedding}};
}

}  // namespace diffapple::selftest

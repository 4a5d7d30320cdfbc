// The safety checker's and the feature extractor's configs, and its parameters at full size.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/models/clip_image_processor.h"
#include "diffapple/models/safety_checker.h"

namespace diffapple {
namespace {

using nlohmann::json;

SafetyCheckerConfig parse(const json& config) {
    return SafetyCheckerConfig::from_json(JsonFields(config, "safety_checker/config.json"));
}

ClipImageProcessorConfig parse_processor(const json& config) {
    return ClipImageProcessorConfig::from_json(JsonFields(config, "feature_extractor/preprocessor_config.json"));
}

template <typename Parse>
void expect_named(const Parse& parse, const json& config, const std::string& key) {
    try {
        parse(config);
        ADD_FAILURE() << config;
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
}

TEST(SafetyChecker, CountOfSdV15s) {
    const json vision{{"hidden_size", 1024},
                      {"intermediate_size", 4096},
                      {"num_hidden_layers", 24},
                      {"num_attention_heads", 16},
                      {"patch_size", 14}};
    // CLIP ViT-L/14's image encoder (303,179,776), its projection, 20 embeddings and their thresholds.
    const int64_t expected = 303'179'776 + 1024 * 768 + 20 * 768 + 20;
    EXPECT_EQ(parameter_count(SafetyCheckerModel(parse({{"projection_dim", 768}, {"vision_config", vision}}))),
              expected);
}

TEST(SafetyChecker, OlderKeyReplacesTheNewerOne) {
    const json config{{"vision_config", {{"hidden_size", 64}, {"patch_size", 8}}},
                      {"vision_config_dict", {{"hidden_size", 96}}}};
    EXPECT_EQ(parse(config).vision.encoder.hidden_size, 96);
    EXPECT_EQ(parse(config).vision.patch_size, 32);
    EXPECT_EQ(parse(json::object()).vision.encoder.hidden_size, 768);
}

TEST(SafetyChecker, WrongConfigsNameTheirKey) {
    expect_named(parse, {{"projection_dim", 0}}, "projection_dim");
    expect_named(parse, {{"vision_config", {{"patch_size", 300}}}}, "vision_config.patch_size");
    expect_named(parse, {{"vision_config", 3}}, "vision_config");
}

TEST(ClipImageProcessor, WrongConfigsNameTheirKey) {
    expect_named(parse_processor, {{"size", 0}}, "size");
    expect_named(parse_processor, {{"size", {{"height", 224}}}}, "size.width");
    expect_named(parse_processor, {{"crop_size", {{"height", 1e9}, {"width", 1}}}}, "crop_size.height");
    expect_named(parse_processor, {{"image_mean", {0.5}}}, "image_mean");
    expect_named(parse_processor, {{"image_std", {0.5, 0, 0.5}}}, "image_std");
    expect_named(parse_processor, {{"resample", 9}}, "resample");
}

TEST(ClipImageProcessor, KnowsTheSizeThatDoesNotDependOnThePicture) {
    EXPECT_EQ(parse_processor(json::object()).fixed_size(), (Size{224, 224}));
    const json wide{{"height", 20}, {"width", 30}};
    EXPECT_EQ(parse_processor({{"crop_size", wide}}).fixed_size(), (Size{30, 20}));
    EXPECT_EQ(parse_processor({{"do_center_crop", false}, {"size", wide}}).fixed_size(), (Size{30, 20}));
    EXPECT_EQ(parse_processor({{"do_center_crop", false}}).fixed_size(), std::nullopt);
}

TEST(ClipImageProcessor, PicturesOfDifferentSizesNeedACrop) {
    const std::vector<Image> pictures{blank_image(30, 20, 3), blank_image(20, 30, 3)};
    EXPECT_EQ(preprocess(pictures, parse_processor(json::object())).sizes(), (std::vector<int64_t>{2, 3, 224, 224}));
    EXPECT_THROW(preprocess(pictures, parse_processor({{"do_center_crop", false}})), Error);
}

}  // namespace
}  // namespace diffapple

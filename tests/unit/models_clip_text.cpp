// The text encoder: its config, its parameters at full size, what it refuses.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/models/clip_text.h"

namespace diffapple {
namespace {

using nlohmann::json;

ClipTextConfig parse(const json& config) {
    return ClipTextConfig::from_json(JsonFields(config, "text_encoder/config.json"));
}

json full_size(int64_t width, int64_t layers, int64_t heads) {
    return {{"hidden_size", width},
            {"intermediate_size", 4 * width},
            {"num_hidden_layers", layers},
            {"num_attention_heads", heads},
            {"projection_dim", width}};
}

json small_config() {
    json config = full_size(16, 2, 2);
    config["vocab_size"] = 100;
    config["eos_token_id"] = 99;
    return config;
}

template <typename Action>
std::string error_of(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

TEST(ClipText, CountsOfTheStudysEncoders) {
    EXPECT_EQ(parameter_count(ClipTextModel(parse(full_size(768, 12, 12)))), 123'060'480);
    EXPECT_EQ(parameter_count(ClipTextModel(parse(full_size(1024, 23, 16)))), 340'387'840);
    json with_projection = full_size(1280, 32, 20);
    with_projection["architectures"] = {"CLIPTextModelWithProjection"};
    EXPECT_EQ(parameter_count(ClipTextModel(parse(with_projection))), 694'659'840);
}

TEST(ClipText, ConfigInsideAWholeClipConfig) {
    const json whole{{"model_type", "clip"}, {"text_config", small_config()}};
    EXPECT_EQ(parse(whole).vocab_size, 100);
    EXPECT_FALSE(parse(whole).with_projection);
}

TEST(ClipText, WrongConfigsNameTheirKey) {
    const std::vector<std::pair<const char*, json>> wrong{{"hidden_size", 0},           {"num_hidden_layers", 1e9},
                                                          {"hidden_act", "tanh"},       {"eos_token_id", {1, 2}},
                                                          {"use_attention_mask", "no"}, {"model_type", "t5"}};
    for (const auto& [key, value] : wrong) {
        json config = small_config();
        config[key] = value;
        const std::string error = error_of([&] { parse(config); });
        EXPECT_NE(error.find(key), std::string::npos) << key << ": " << error;
    }
    json config = small_config();
    config["num_attention_heads"] = 3;
    EXPECT_NE(error_of([&] { ClipTextModel model(parse(config)); }).find("num_attention_heads"), std::string::npos);
}

TEST(ClipText, WrongIdsAreRefused) {
    ClipTextModel model(parse(small_config()));
    load_random_state(model, 1, {at::kCPU, at::kFloat});
    const auto error_with = [&](const at::Tensor& ids, int64_t layers_skipped) {
        return error_of([&] { model.forward(ids, {.layers_skipped = layers_skipped}); });
    };
    EXPECT_EQ(error_with(at::full({1, 77}, 99), 2), "");
    EXPECT_NE(error_with(at::full({1, 77}, 100), 0).find("token id 100"), std::string::npos);
    EXPECT_NE(error_with(at::full({1, 77}, -1), 0).find("token id -1"), std::string::npos);
    EXPECT_NE(error_with(at::full({1, 78}, 1), 0).find("78 tokens"), std::string::npos);
    EXPECT_NE(error_with(at::full({77}, 1), 0).find("int64 [N, L]"), std::string::npos);
    EXPECT_NE(error_with(at::full({1, 77}, 1), 3).find("cannot skip 3"), std::string::npos);
}

TEST(ClipText, LaterTokensDoNotReachEarlierOnes) {
    ClipTextModel model(parse(small_config()));
    load_random_state(model, 1, {at::kCPU, at::kFloat});
    const at::Tensor ids = at::arange(8).unsqueeze(0);
    at::Tensor changed = ids.clone();
    changed[0][5] = 42;
    const auto before = model.forward(ids, {}).hidden, after = model.forward(changed, {}).hidden;
    EXPECT_TRUE(at::allclose(before.narrow(1, 0, 5), after.narrow(1, 0, 5)));
    EXPECT_FALSE(at::allclose(before.narrow(1, 5, 3), after.narrow(1, 5, 3)));
}

TEST(ClipText, ThePooledStateIsComputedWhenAskedFor) {
    ClipTextModel model(parse(small_config()));
    load_random_state(model, 1, {at::kCPU, at::kFloat});
    const at::Tensor ids = at::arange(8).unsqueeze(0);
    EXPECT_FALSE(model.forward(ids, {}).pooled.defined());
    EXPECT_EQ(model.forward(ids, {.pooled = true}).pooled.sizes(), (std::vector<int64_t>{1, 16}));
}

}  // namespace
}  // namespace diffapple

// Loading of weights into modules, old attention keys, the UNet's config.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/models/unet_2d.h"

namespace diffapple {
namespace {

using nlohmann::json;

const Placement on_cpu{c10::Device(c10::kCPU), c10::kFloat};

json small_config() {
    return {{"sample_size", 16},
            {"block_out_channels", {8, 16}},
            {"layers_per_block", 1},
            {"norm_num_groups", 4},
            {"attention_head_dim", 4},
            {"down_block_types", {"DownBlock2D", "AttnDownBlock2D"}},
            {"up_block_types", {"AttnUpBlock2D", "UpBlock2D"}}};
}

UNet2DConfig parse(const json& config) {
    return UNet2DConfig::from_json(JsonFields(config, "unet/config.json"));
}

StoredTensor stored(const at::Tensor& tensor) {
    return {.dtype = tensor.scalar_type(),
            .shape = tensor.sizes().vec(),
            .bytes = tensor.nbytes(),
            .file = "weights.safetensors",
            .read = [tensor] { return tensor; },
            .release = [] {}};
}

/// The weights of a random model, as if read from a file.
StoredTensors random_weights() {
    UNet2DModel model(parse(small_config()));
    load_random_state(model, 1, on_cpu);
    StoredTensors tensors;
    for (const auto& parameter : model.named_parameters())
        tensors.emplace(parameter.key(), stored(parameter.value().contiguous()));
    return tensors;
}

std::string error_of(const StoredTensors& tensors) {
    UNet2DModel model(parse(small_config()));
    try {
        load_state(model, tensors, "unet", on_cpu);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

TEST(AttentionKeys, OldNamesBecomePresentOnes) {
    EXPECT_EQ(current_attention_key("mid_block.attentions.0.query.weight"), "mid_block.attentions.0.to_q.weight");
    EXPECT_EQ(current_attention_key("mid_block.attentions.0.proj_attn.bias"), "mid_block.attentions.0.to_out.0.bias");
    EXPECT_EQ(current_attention_key("key.weight"), "to_k.weight");
    for (const char* kept : {"conv_in.weight", "query", "a.keys.weight", "a.to_q.weight", "", ".weight"})
        EXPECT_EQ(current_attention_key(kept), kept);
}

TEST(LoadState, AllMisfitsStandInOneMessage) {
    auto tensors = random_weights();
    EXPECT_EQ(error_of(tensors), "");
    tensors.erase("conv_in.weight");
    tensors.emplace("surplus", stored(at::zeros({2})));
    tensors.at("conv_out.bias") = stored(at::zeros({4}));
    tensors.at("conv_in.bias") = stored(at::zeros({8}, at::kLong));
    const std::string error = error_of(tensors);
    for (const char* part : {"missing conv_in.weight [8, 3, 3, 3]", "unexpected 'surplus' [2]",
                             "wrong shape conv_out.bias expected [3] found [4]", "wrong type conv_in.bias", "4 of "})
        EXPECT_NE(error.find(part), std::string::npos) << part << " in " << error;
}

TEST(LoadState, SurplusTensorsAreCountedAndTheFirstAreNamed) {
    auto tensors = random_weights();
    UNet2DModel model(parse(small_config()));
    EXPECT_EQ(check_state(model, tensors, "unet"), "");
    tensors.emplace("logit_scale", stored(at::zeros({})));
    EXPECT_EQ(check_state(model, tensors, "unet"),
              "unet: 1 tensor of its weights is left out, having no place in the model: 'logit_scale' []");
    EXPECT_EQ(error_of(tensors), "");
    const StoredTensor surplus = stored(at::zeros({2}, at::kLong));  // of any type
    for (int i = 0; i < 300'000; ++i) tensors.emplace("loss." + std::to_string(i), surplus);
    const std::string note = check_state(model, tensors, "unet");
    for (const char* part : {"300001 tensors", "'logit_scale' []", "'loss.0' [2]", "and 299985 more"})
        EXPECT_NE(note.find(part), std::string::npos) << part << " in " << note;
    EXPECT_LT(note.size(), 1000U);
    tensors.erase("conv_in.weight");
    EXPECT_LT(error_of(tensors).size(), 1500U) << "an error stays short, too";
}

TEST(LoadState, OldAndPresentNameTogetherAreRefused) {
    auto tensors = random_weights();
    tensors.emplace("mid_block.attentions.0.query.weight", tensors.at("mid_block.attentions.0.to_q.weight"));
    EXPECT_NE(error_of(tensors).find("stored twice"), std::string::npos);
}

TEST(LoadState, OldConvolutionFormOfLinearWeights) {
    auto tensors = random_weights();
    const auto weight = tensors.at("mid_block.attentions.0.to_q.weight").read();
    tensors.erase("mid_block.attentions.0.to_q.weight");
    tensors.emplace("mid_block.attentions.0.query.weight", stored(weight.unsqueeze(-1).unsqueeze(-1)));
    UNet2DModel model(parse(small_config()));
    load_state(model, tensors, "unet", on_cpu);
    EXPECT_TRUE(at::equal(model.named_parameters()["mid_block.attentions.0.to_q.weight"], weight));
}

TEST(LoadState, ParametersOwnTheirMemoryInTheWantedType) {
    UNet2DModel model(parse(small_config()));
    const auto tensors = random_weights();
    load_state(model, tensors, "unet", {c10::Device(c10::kCPU), c10::kBFloat16});
    for (const auto& parameter : model.named_parameters()) {
        EXPECT_EQ(parameter.value().scalar_type(), c10::kBFloat16) << parameter.key();
        EXPECT_NE(parameter.value().data_ptr(), tensors.at(parameter.key()).read().data_ptr()) << parameter.key();
    }
}

TEST(UNet2DConfig, CountsOfTheStudysModel) {
    json config = {{"block_out_channels", {128, 128, 256, 256, 512, 512}}, {"attention_head_dim", nullptr}};
    config["down_block_types"] = {"DownBlock2D", "DownBlock2D",     "DownBlock2D",
                                  "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"};
    config["up_block_types"] = {"UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"};
    EXPECT_EQ(parameter_count(UNet2DModel(parse(config))), 113'673'219);
    EXPECT_EQ(parse(config).size_factor(), 32);
}

TEST(UNet2DConfig, HeadDimAbsentIsEightAndNullIsOneHead) {
    json config = small_config();
    config["attention_head_dim"] = nullptr;
    EXPECT_FALSE(parse(config).attention_head_dim.has_value());
    config.erase("attention_head_dim");
    EXPECT_EQ(parse(config).attention_head_dim, 8);
}

TEST(UNet2DConfig, WrongValuesNameTheirKey) {
    const std::vector<std::pair<const char*, json>> wrong{{"block_out_channels", json::array()},
                                                          {"block_out_channels", {8, 1e12}},
                                                          {"layers_per_block", 0},
                                                          {"down_block_types", {"DownBlock2D"}},
                                                          {"act_fn", "tanh"},
                                                          {"num_class_embeds", 10},
                                                          {"sample_size", {1, 2, 3}},
                                                          {"downsample_padding", 2},
                                                          {"mid_block_scale_factor", 0}};
    for (const auto& [key, value] : wrong) {
        json config = small_config();
        config[key] = value;
        try {
            parse(config);
            ADD_FAILURE() << key << ' ' << value;
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
        }
    }
}

}  // namespace
}  // namespace diffapple

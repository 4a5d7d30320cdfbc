// The autoencoder: its config and its parameters at full size; tiles.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/models/tiles.h"

namespace diffapple {
namespace {

using nlohmann::json;

AutoencoderKLConfig parse(const json& config) {
    return AutoencoderKLConfig::from_json(JsonFields(config, "vae/config.json"));
}

json config_of(const std::vector<int64_t>& channels) {
    return {{"block_out_channels", channels},
            {"down_block_types", std::vector<std::string>(channels.size(), "DownEncoderBlock2D")},
            {"up_block_types", std::vector<std::string>(channels.size(), "UpDecoderBlock2D")},
            {"layers_per_block", 2},
            {"norm_num_groups", 4}};
}

TEST(AutoencoderKL, CountsOfTheStudysModel) {
    const auto config = parse(config_of({128, 256, 512, 512}));
    EXPECT_EQ(parameter_count(AutoencoderKL(config)), 83'653'863);
    EXPECT_EQ(config.size_factor(), 8);
    EXPECT_DOUBLE_EQ(config.scaling_factor, 0.18215);
    EXPECT_TRUE(config.force_upcast);
}

TEST(AutoencoderKL, TilesAreOfTheSampleSizesFirstSide) {
    json config = config_of({8, 16});
    EXPECT_EQ(parse(config).sample_size, 32) << "diffusers' default";
    config["sample_size"] = {48, 64};
    EXPECT_EQ(parse(config).sample_size, 48);
    config["sample_size"] = 96;
    EXPECT_EQ(parse(config).sample_size, 96);
}

TEST(AutoencoderKL, WrongConfigsNameTheirKey) {
    const std::vector<std::pair<const char*, json>> wrong{
        {"block_out_channels", json::array()},
        {"block_out_channels", {8, 1e12}},
        {"down_block_types", {"DownEncoderBlock2D"}},
        {"up_block_types", {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"}},
        {"scaling_factor", 0},
        {"sample_size", {1, 2, 3}},
        {"act_fn", "tanh"},
        {"_class_name", "AutoencoderTiny"}};
    for (const auto& [key, value] : wrong) {
        json config = config_of({8, 16});
        config[key] = value;
        try {
            parse(config);
            ADD_FAILURE() << key << ' ' << value;
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
        }
    }
}

TEST(Tiles, OfAModelThatDoesNothingGiveTheImageBack) {
    const at::Tensor image = at::arange(2 * 3 * 21 * 13, at::kFloat).view({2, 3, 21, 13});
    const auto copy = [](const at::Tensor& tile) { return tile.clone(); };
    EXPECT_TRUE(at::allclose(map_tiles(image, {.input = 8, .output = 8}, copy), image));
}

TEST(Tiles, TooSmallOnesAreRefused) {
    const auto copy = [](const at::Tensor& tile) { return tile.clone(); };
    EXPECT_THROW(map_tiles(at::zeros({1, 1, 4, 4}), {.input = 1, .output = 8}, copy), Error);
}

}  // namespace
}  // namespace diffapple

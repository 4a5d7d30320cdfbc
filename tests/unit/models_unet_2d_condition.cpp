// The UNet that reads a text: what one instance computes for a text, and another uses.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/models/state_loading.h"
#include "diffapple/models/unet_2d_condition.h"

namespace diffapple {
namespace {

constexpr int64_t text_channels = 24;

/// Transformers of one and two blocks, in down, mid and up blocks of the UNet.
std::unique_ptr<UNet2DConditionModel> make_unet(uint64_t seed) {
    const nlohmann::json config{{"block_out_channels", {8, 16}},
                                {"down_block_types", {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D"}},
                                {"up_block_types", {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D"}},
                                {"layers_per_block", 1},
                                {"attention_head_dim", 2},
                                {"transformer_layers_per_block", {1, 2}},
                                {"cross_attention_dim", text_channels},
                                {"norm_num_groups", 4}};
    auto unet = std::make_unique<UNet2DConditionModel>(
        UNet2DConditionConfig::from_json(JsonFields(config, "unet/config.json")));
    load_random_state(*unet, seed, {at::kCPU, at::kFloat});
    return unet;
}

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed));
}

class TextContexts : public testing::Test {
protected:
    at::Tensor denoise(UNet2DConditionModel& unet, const nn::TextContext& text) const {
        return unet.forward(sample_, /*timestep=*/500, text);
    }

    const at::InferenceMode inference_;
    const at::Tensor sample_ = random({2, 4, 8, 8}, 1), text_ = random({2, 7, text_channels}, 2);
};

TEST_F(TextContexts, OfOneInstanceServeAnother) {
    auto first = make_unet(/*seed=*/1);
    const auto context = first->encode_text(text_);
    const auto expected = denoise(*first, context);
    first.reset();  // as when memory is short
    const auto second = make_unet(/*seed=*/1);
    EXPECT_TRUE(at::equal(denoise(*second, context), expected));
    EXPECT_TRUE(at::equal(denoise(*second, second->encode_text(text_)), expected));
}

TEST_F(TextContexts, HoldWhatTheWeightsMakeOfTheText) {
    const auto first = make_unet(/*seed=*/1), other = make_unet(/*seed=*/2);
    const auto expected = denoise(*first, first->encode_text(text_));
    EXPECT_FALSE(at::equal(denoise(*first, other->encode_text(text_)), expected));
    EXPECT_FALSE(at::equal(denoise(*first, first->encode_text(text_.flip(0))), expected));
}

TEST_F(TextContexts, AreJoinedAndSelectedTextByText) {
    const auto unet = make_unet(/*seed=*/1);
    const auto expected = denoise(*unet, unet->encode_text(text_));
    const auto joined =
        nn::TextContext::join({unet->encode_text(text_.slice(0, 1)), unet->encode_text(text_.slice(0, 0, 1))});
    EXPECT_EQ(joined.batch_size(), 2);
    const auto difference = (denoise(*unet, joined.select({1, 0})) - expected).abs().max();
    EXPECT_LT(difference.item<float>(), 1e-5 * expected.abs().max().item<float>());  // texts apart: about 1
}

}  // namespace
}  // namespace diffapple

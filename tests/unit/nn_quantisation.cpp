// Weights of 8 bits: their error, their memory, and layers that hold them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "diffapple/nn/layers.h"
#include "diffapple/nn/quantisation.h"

namespace diffapple::nn {
namespace {

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed));
}

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
    return ((found - expected).norm() / expected.norm()).item<double>();
}

TEST(Quantisation, IsTheNearestMultipleOfEachChannelsScale) {
    auto weight = random({32, 48, 3, 3}, 1).contiguous(at::MemoryFormat::ChannelsLast);
    weight[5].mul_(1000);  // another channel's size must not matter
    weight[7].zero_();
    const auto quantised = quantise(weight, at::kFloat);
    EXPECT_EQ(quantised.values.scalar_type(), at::kChar);
    EXPECT_TRUE(quantised.values.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_EQ(quantised.values.abs().max().item<int>(), 127);
    const auto restored = dequantise(quantised);
    EXPECT_TRUE((restored - weight).abs().le(quantised.scales * 0.5001).all().item<bool>());
    EXPECT_EQ(restored[7].abs().max().item<float>(), 0);
    EXPECT_LT(relative_error(restored[0], weight[0]), 0.01);
}

/// With a scale that was rounded after its use, every value of a channel would be off by as much.
TEST(Quantisation, RoundedScalesAddNoError) {
    const auto weight = random({64, 4096}, 2);
    const auto values = [&](at::ScalarType dtype) {
        const auto quantised = quantise(weight, dtype);
        return quantised.values.to(at::kFloat) * quantised.scales.to(at::kFloat);
    };
    const double exact = relative_error(values(at::kFloat), weight);
    EXPECT_LT(relative_error(values(at::kBFloat16), weight), 1.05 * exact);
    EXPECT_LT(relative_error(values(at::kHalf), weight), 1.05 * exact);
}

TEST(Quantisation, LayersComputeWithIt) {
    const auto x = random({4, 256}, 3), weight = random({128, 256}, 4);
    Linear linear(256, 128);
    linear.weight.set_data(weight);
    linear.bias.set_data(at::zeros({128}));
    const auto expected = linear.forward(x);
    linear.set_quantised(quantise(weight, at::kFloat));
    EXPECT_LT(relative_error(linear.forward(x), expected), 0.01);
    EXPECT_GT(relative_error(linear.forward(x), expected), 1e-5);
    EXPECT_EQ(linear.named_parameters()["weight"].nbytes(), 128U * 256);
}

TEST(Quantisation, LeavesSmallWeights) {
    EXPECT_TRUE(is_worth_quantising({16, 16}));
    EXPECT_FALSE(is_worth_quantising({320, 4, 3, 3}));
    EXPECT_FALSE(is_worth_quantising({4, 320, 3, 3}));
    EXPECT_FALSE(is_worth_quantising({320}));
}

}  // namespace
}  // namespace diffapple::nn

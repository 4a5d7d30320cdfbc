// nn/ops on the stand-in mps device: the ways round what a Mac gets wrong give what the CPU gives.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "diffapple/core/random.h"
#include "diffapple/nn/ops.h"
#include "diffapple/nn/quantisation.h"

namespace diffapple {
namespace {

const at::Device kDevice(at::kMPS);

/// The same normal numbers on both sides.
struct Pair {
    at::Tensor cpu, mps;
};

Pair normal(NoiseSource& noise, at::IntArrayRef shape) {
    const at::Tensor values = noise.normal(shape, at::kCPU, at::kFloat);
    return {values, values.to(kDevice)};
}

void expect_close(const at::Tensor& mps, const at::Tensor& cpu) {
    ASSERT_EQ(mps.sizes(), cpu.sizes());
    EXPECT_TRUE(at::allclose(mps.cpu(), cpu, 1e-4, 1e-5)) << (mps.cpu() - cpu).abs().max();
}

}  // namespace

TEST(StandinLayers, LinearTakesAnyNumberOfDimensionsAndOneRow) {
    NoiseSource noise(1);
    const Pair weight = normal(noise, {5, 7}), bias = normal(noise, {5});
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{2, 3, 7}, {2, 1, 3, 7}, {4, 7}, {1, 7}, {1, 1, 7}}) {
        const Pair x = normal(noise, shape);
        expect_close(nn::ops::linear(x.mps, weight.mps, bias.mps), at::linear(x.cpu, weight.cpu, bias.cpu));
        expect_close(nn::ops::linear(x.mps, weight.mps, {}), at::linear(x.cpu, weight.cpu));
    }
}

TEST(StandinLayers, GegluTakesThreeDimensions) {
    NoiseSource noise(1);
    const Pair x = normal(noise, {2, 3, 7}), weight = normal(noise, {10, 7}), bias = normal(noise, {10});
    expect_close(nn::ops::linear_geglu(x.mps, weight.mps, bias.mps),
                 nn::ops::linear_geglu(x.cpu, weight.cpu, bias.cpu));
}

/// The stand-in looks at the number of products first: a mask of another type is then refused before the minute that
/// so many would take.
TEST(StandinLayers, AttentionIsMadeInPartsThatAMacCanTake) {
    constexpr int64_t many = 65536;
    const auto mask = at::zeros({1, 1}, at::device(kDevice).dtype(at::kHalf)).expand({many, many});
    for (const int64_t head_size : {64, 300}) {  // with a fused kernel, and without
        const auto x = at::zeros({1, 1, head_size}, kDevice).expand({1, many, head_size});
        try {
            nn::ops::attention(x, x, x, 1, mask);
            FAIL() << "the planted mistake was not found";
        } catch (const c10::Error& error) {
            EXPECT_NE(std::string(error.what_without_backtrace()).find("mps wants one type"), std::string::npos)
                << error.what_without_backtrace();
        }
    }
}

TEST(StandinLayers, AttentionTakesPaddedKeysAndValues) {
    NoiseSource noise(1);
    constexpr int64_t heads = 2;
    for (const int64_t size : {40, 64, 160, 300}) {
        const Pair query = normal(noise, {2, 12, heads * size});
        const Pair key = normal(noise, {2, 9, heads * size}), value = normal(noise, {2, 9, heads * size});
        const auto expected = nn::ops::attention(query.cpu, key.cpu, value.cpu, heads);
        expect_close(nn::ops::attention(query.mps, nn::ops::pad_heads(key.mps, heads),
                                        nn::ops::pad_heads(value.mps, heads), heads),
                     expected);
        expect_close(nn::ops::attention(query.mps, key.mps, value.mps, heads), expected);
        EXPECT_TRUE(nn::ops::pad_heads(key.cpu, heads).is_same(key.cpu));
    }
}

TEST(StandinLayers, QuantisedWeightsAreTheCpus) {
    NoiseSource noise(1);
    const auto weight = noise.normal({20, 30}, at::kCPU, at::kFloat);
    for (const auto dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
        const auto quantised = nn::quantise(weight, dtype);
        const auto moved = nn::dequantise({quantised.values.to(kDevice), quantised.scales.to(kDevice)});
        EXPECT_EQ(moved.scalar_type(), dtype);
        EXPECT_TRUE(at::equal(moved.cpu(), nn::dequantise(quantised)));
    }
}

}  // namespace diffapple

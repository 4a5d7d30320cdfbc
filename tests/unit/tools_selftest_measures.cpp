// The measures of the self-test see the errors that they are there for.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "../../src/tools/selftest/parts.h"
#include "diffapple/core/error.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/nn/unet_blocks.h"

namespace diffapple::selftest {
namespace {

const Placement fp32{at::kCPU, at::kFloat}, bf16{at::kCPU, at::kBFloat16};

TEST(SelftestMeasures, DrawsTheSameRoundedValuesTwice) {
    NoiseSource noise(1);
    const Values values = draw(noise, {2, 3, 4, 5}, bf16);
    EXPECT_EQ(values.tested.scalar_type(), at::kBFloat16);
    EXPECT_TRUE(values.tested.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(values.exact.is_contiguous());
    EXPECT_TRUE(values.tested.to(at::kDouble).equal(values.exact));
}

TEST(SelftestMeasures, OneWrongValueIsSeen) {
    const at::Tensor exact = at::linspace(-1, 1, 1000, at::kDouble);
    at::Tensor result = exact.to(at::kFloat);
    EXPECT_TRUE(compare(result, exact, fp32, 1).ok());
    result[500] += 0.001;
    EXPECT_FALSE(compare(result, exact, fp32, 1).ok());
    EXPECT_EQ(compare_exactly(result, exact.to(at::kFloat)).error, 1);
}

TEST(SelftestMeasures, RoundingIsAllowedButNotMore) {
    const at::Tensor exact = at::linspace(-1, 1, 1000, at::kDouble);
    EXPECT_TRUE(compare(exact.to(at::kBFloat16), exact, bf16, 1).ok());
    EXPECT_FALSE(compare(exact.mul(1.01).to(at::kBFloat16), exact, bf16, 1).ok());
}

TEST(SelftestMeasures, NaNIsNeverWithinTheLimit) {
    const at::Tensor exact = at::ones({4}, at::kDouble);
    const at::Tensor result = at::tensor({1.0F, std::nanf(""), 1.0F, 1.0F});
    EXPECT_FALSE(compare(result, exact, fp32, 1).ok());
    EXPECT_FALSE(compare(result, exact, bf16, 1).ok());
    EXPECT_FALSE(compare_exactly(result, result.clone()).ok());
}

TEST(SelftestMeasures, AnotherShapeIsAnError) {
    EXPECT_THROW(compare(at::ones({2, 3}), at::ones({3, 2}, at::kDouble), fp32, 1), Error);
    EXPECT_THROW(compare_exactly(at::ones({2}), at::ones({2}, at::kDouble)), Error);
}

/// Every single parameter of a block reaches the measure.
TEST(SelftestMeasures, AnyDamagedParameterIsSeen) {
    const nn::ResnetConfig config{.in_channels = 8, .out_channels = 16, .temb_channels = 12, .groups = 4, .eps = 1e-5};
    const size_t parameters = nn::ResnetBlock2D(config).parameters().size();
    for (size_t i = 0; i < parameters; ++i) {
        auto twins = make_twins<nn::ResnetBlock2D>(config, fp32);
        at::Tensor damaged = twins.tested->parameters()[i];
        damaged[0].add_(0.1);
        NoiseSource noise(1);
        const Values x = draw(noise, {1, 8, 6, 6}, fp32), temb = draw(noise, {1, 12}, fp32);
        const auto comparison =
            compare(twins.tested->forward(x.tested, temb.tested), twins.exact->forward(x.exact, temb.exact), fp32, 8);
        EXPECT_FALSE(comparison.ok()) << twins.tested->named_parameters().keys()[i] << ' ' << comparison.error;
    }
}

}  // namespace
}  // namespace diffapple::selftest

// Noise drawn before the loop is the noise of the loop, in one copy.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "counts.h"
#include "diffapple/core/random.h"

namespace diffapple {
namespace {

const at::Device kDevice(at::kMPS);

}  // namespace

TEST(StandinNoise, DrawnAheadIsTheSameAndOneCopy) {
    const std::vector<int64_t> shape{2, 3, 4, 5};
    constexpr uint64_t two_draws = 2 * 120 * sizeof(float);
    for (const uint64_t most_bytes : {uint64_t{1} << 20, two_draws, uint64_t{1}}) {
        NoiseSource ahead(7), plain(7);
        ahead.draw_ahead(5, shape, kDevice, at::kFloat, most_bytes);
        const int64_t before = standin_mps::waits();
        std::vector<at::Tensor> draws;
        for (int i = 0; i < 7; ++i) draws.push_back(ahead.normal(shape, kDevice, at::kFloat));
        if (most_bytes > 2 * two_draws) EXPECT_EQ(standin_mps::waits() - before, 2) << "those that were not announced";
        for (const auto& draw : draws)
            EXPECT_TRUE(at::equal(draw.cpu(), plain.normal(shape, at::kCPU, at::kFloat))) << most_bytes;
    }
}

}  // namespace diffapple

// The CPU's kernel for group normalisation against the formula in double precision: sizes at the edges of its blocks,
// means far from 0, values that are no numbers, and every instruction set that this processor has.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "diffapple/nn/ops.h"
#include "instruction_sets.h"

namespace diffapple::nn {
namespace {

constexpr double eps = 1e-5;

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed));
}

at::Tensor as_image(const at::Tensor& x, at::ScalarType type) {
    return x.to(type).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor expected(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                    Activation activation) {
    const auto normed =
        at::group_norm(x.to(at::kDouble).contiguous(), groups, weight.to(at::kDouble), bias.to(at::kDouble), eps);
    return activation == Activation::silu ? at::silu(normed) : normed;
}

double distance(const at::Tensor& x, const at::Tensor& y) {
    return ((x.to(at::kDouble) - y).norm() / y.norm()).item<double>();
}

/// Of the result's rounding.
double bar(at::ScalarType type) {
    return type == at::kFloat ? 5e-7 : 2.5e-3;
}

TEST(FusedGroupNorm, EverySizeGroupAndType) {
    on_every_instruction_set([] {
        for (const auto& [channels, groups] : {std::tuple{16, 4}, {20, 5}, {32, 32}, {64, 1}, {72, 8}, {320, 32}}) {
            for (const auto& [height, width] : {std::tuple{1, 1}, {1, 63}, {5, 13}, {129, 130}}) {
                if (channels > 20 && height > 100) continue;  // the time
                const auto x = random({2, channels, height, width}, 1).mul_(3).add_(1);
                const auto weight = random({channels}, 2), bias = random({channels}, 3);
                for (const auto type : {at::kFloat, at::kBFloat16})
                    for (const auto activation : {Activation::none, Activation::silu}) {
                        const auto image = as_image(x, type), w = weight.to(type), b = bias.to(type);
                        const auto result = ops::group_norm(image, groups, w, b, eps, activation);
                        EXPECT_TRUE(result.is_contiguous(at::MemoryFormat::ChannelsLast));
                        EXPECT_LT(distance(result, expected(image, groups, w, b, activation)), bar(type))
                            << channels << "/" << groups << " " << height << "x" << width << " " << type;
                    }
            }
        }
    });
}

TEST(FusedGroupNorm, MeansFarFromZero) {
    on_every_instruction_set([] {
        auto x = random({1, 32, 40, 40}, 4).add_(1000);
        x.slice(1, 0, 16).sub_(3000);
        const auto image = as_image(x, at::kFloat), one = at::ones(32), zero = at::zeros(32);
        const auto result = ops::group_norm(image, 4, one, zero, eps);
        // The values themselves are spaced by 6e-5 and 1.2e-4.
        EXPECT_LT(distance(result, expected(image, 4, one, zero, Activation::none)), 5e-6);
    });
}

TEST(FusedGroupNorm, StorageIsReusedOnlyWhereItIsGivenAway) {
    const auto weight = random({24}, 5), bias = random({24}, 6);
    auto x = as_image(random({2, 24, 9, 9}, 7), at::kFloat);
    const auto before = x.clone();
    const auto kept = ops::group_norm(x, 3, weight, bias, eps, Activation::silu);
    EXPECT_TRUE(at::equal(x, before));
    EXPECT_NE(kept.data_ptr(), x.data_ptr());
    auto part = x.slice(0, 0, 1);  // of what another holds, too
    ops::group_norm(std::move(part), 3, weight, bias, eps, Activation::silu);
    EXPECT_TRUE(at::equal(x, before));
    const void* const place = x.data_ptr();
    const auto reused = ops::group_norm(std::move(x), 3, weight, bias, eps, Activation::silu);
    EXPECT_EQ(reused.data_ptr(), place);
    EXPECT_TRUE(at::equal(reused, kept)) << "24 channels are no whole vectors";
}

TEST(FusedGroupNorm, WhatIsNoNumberStaysNoneAndLargeValuesStayFinite) {
    on_every_instruction_set([] {
        for (const auto type : {at::kFloat, at::kBFloat16}) {
            auto x = random({1, 32, 20, 20}, 8);
            x[0][3][19][19] = std::numeric_limits<double>::quiet_NaN();  // in the first of two groups
            const auto one = at::ones(32, type), zero = at::zeros(32, type);
            const auto result = ops::group_norm(as_image(x, type), 2, one, zero, eps, Activation::silu);
            EXPECT_TRUE(result.slice(1, 0, 16).isnan().all().item<bool>()) << type;
            EXPECT_FALSE(result.slice(1, 16).isnan().any().item<bool>()) << type;
            const auto large =
                ops::group_norm(as_image(random({1, 32, 8, 8}, 9), type), 2, one.mul(1e4), zero, eps, Activation::silu);
            EXPECT_TRUE(large.isfinite().all().item<bool>()) << type;
            EXPECT_TRUE((large >= -0.3).all().item<bool>()) << type;  // the least value of SiLU is -0.278
        }
    });
}

TEST(FusedGroupNorm, ResultsDoNotDependOnThreads) {
    const auto image = as_image(random({2, 64, 50, 50}, 10), at::kBFloat16);
    const auto one = at::ones(64, at::kBFloat16), zero = at::zeros(64, at::kBFloat16);
    const auto run = [&] { return ops::group_norm(image, 8, one, zero, eps, Activation::silu); };
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto alone = run();
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(run(), alone));
    at::set_num_threads(threads);
}

TEST(FusedGroupNorm, ImagesThatTheKernelDoesNotTake) {
    for (const int64_t channels : {2, 6}) {
        const auto x = random({2, channels, 5, 5}, 11), one = at::ones(channels), zero = at::zeros(channels);
        EXPECT_LT(distance(ops::group_norm(as_image(x, at::kFloat), 2, one, zero, eps, Activation::silu),
                           expected(x, 2, one, zero, Activation::silu)),
                  bar(at::kFloat));
    }
    const auto x = random({2, 32, 5, 5}, 12), one = at::ones(32), zero = at::zeros(32);
    EXPECT_LT(distance(ops::group_norm(x, 2, one, zero, eps), expected(x, 2, one, zero, Activation::none)),
              bar(at::kFloat));
}

}  // namespace
}  // namespace diffapple::nn

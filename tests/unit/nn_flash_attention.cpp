// The CPU's attention kernels against the formula in double precision: sizes at the edges of their blocks, masks,
// values that are no numbers, and every instruction set that this processor has.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "diffapple/nn/ops.h"
#include "instruction_sets.h"

namespace diffapple::nn {
namespace {

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed));
}

at::Tensor expected(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads,
                    const at::Tensor& mask = {}) {
    const auto split = [&](const at::Tensor& x) {
        return x.to(at::kDouble).unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
    };
    auto scores = at::matmul(split(q), split(k).transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(2) / heads));
    if (mask.defined()) scores = scores + mask.to(at::kDouble);
    return at::matmul(at::softmax(scores, -1), split(v)).transpose(1, 2).flatten(2);
}

double distance(const at::Tensor& x, const at::Tensor& y) {
    return ((x.to(at::kDouble) - y).norm() / y.norm()).item<double>();
}

/// The rounding of LibTorch's own kernel is 6e-7 and 2.4e-3.
double bar(at::ScalarType type) {
    return type == at::kFloat ? 2e-6 : 4e-3;
}

TEST(FlashAttention, EveryHeadSizeAndOddLengths) {
    on_every_instruction_set([] {
        for (const int64_t size : {1, 3, 8, 40, 64, 80, 96, 160, 512}) {
            for (const auto& [rows, keys] : {std::tuple{1, 1}, {7, 77}, {65, 129}, {130, 257}, {64, 128}}) {
                const auto q = random({2, rows, 3 * size}, 1), k = random({2, keys, 3 * size}, 2),
                           v = random({2, keys, 3 * size}, 3);
                for (const auto type : {at::kFloat, at::kBFloat16}) {
                    const auto a = q.to(type), b = k.to(type), c = v.to(type);
                    EXPECT_LT(distance(ops::attention(a, b, c, 3), expected(a, b, c, 3)), bar(type))
                        << size << " " << rows << "x" << keys << " " << type;
                }
            }
        }
    });
}

TEST(FlashAttention, LargeScoresAndAMaximumThatComesLate) {
    on_every_instruction_set([] {
        auto q = random({1, 9, 40}, 4).mul(6), k = random({1, 600, 40}, 5).mul(6);
        const auto v = random({1, 600, 40}, 6);
        k.narrow(1, 590, 5).mul_(3);  // in the last block
        for (const auto type : {at::kFloat, at::kBFloat16}) {
            const auto a = q.to(type), b = k.to(type), c = v.to(type);
            EXPECT_LT(distance(ops::attention(a, b, c, 1), expected(a, b, c, 1)), 5 * bar(type)) << type;
        }
    });
}

TEST(FlashAttention, MasksAreAdded) {
    const auto causal = at::full({77, 77}, -std::numeric_limits<float>::infinity()).triu(1);
    const auto soft = random({77, 77}, 7);
    on_every_instruction_set([&] {
        const auto q = random({2, 77, 128}, 8), k = random({2, 77, 128}, 9), v = random({2, 77, 128}, 10);
        for (const auto type : {at::kFloat, at::kBFloat16}) {
            const auto a = q.to(type), b = k.to(type), c = v.to(type);
            for (const auto& mask : {causal.to(type), soft.to(type)})
                EXPECT_LT(distance(ops::attention(a, b, c, 2, mask), expected(a, b, c, 2, mask)), bar(type)) << type;
        }
    });
}

TEST(FlashAttention, OfViewsWithGapsBetweenRows) {
    const auto all = random({2, 50, 3 * 80}, 11);
    const auto parts = all.chunk(3, 2);
    EXPECT_LT(distance(ops::attention(parts[0], parts[1], parts[2], 2), expected(parts[0], parts[1], parts[2], 2)),
              bar(at::kFloat));
    const auto turned = random({2, 80, 50}, 12).transpose(1, 2);
    EXPECT_LT(distance(ops::attention(turned, turned, turned, 2), expected(turned, turned, turned, 2)),
              bar(at::kFloat));
}

TEST(FlashAttention, WhatIsNoNumberStaysNone) {
    on_every_instruction_set([] {
        for (const auto type : {at::kFloat, at::kBFloat16}) {
            for (const int64_t place : {0, 100, 299}) {
                const auto q = random({1, 5, 80}, 13).to(type), v = random({1, 300, 80}, 14).to(type);
                auto k = random({1, 300, 80}, 15).to(type);
                k[0][place][3] = std::nan("");  // in the first of two heads
                const auto result = ops::attention(q, k, v, 2);
                EXPECT_TRUE(result.slice(2, 0, 40).isnan().all().item<bool>()) << type << " " << place;
                EXPECT_FALSE(result.slice(2, 40).isnan().any().item<bool>()) << type << " " << place;
                auto infinite = v.clone();
                infinite[0][place][3] = std::numeric_limits<float>::infinity();
                const auto column = ops::attention(q, random({1, 300, 80}, 16).to(type), infinite, 2).select(2, 3);
                EXPECT_FALSE(column.isfinite().any().item<bool>()) << type << " " << place;
            }
        }
    });
}

TEST(FlashAttention, DoesNotDependOnTheNumberOfThreads) {
    const auto q = random({2, 200, 160}, 17), k = random({2, 150, 160}, 18), v = random({2, 150, 160}, 19);
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto one = ops::attention(q, k, v, 4);
    at::set_num_threads(3);
    const auto three = ops::attention(q, k, v, 4);
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(one, three));
}

}  // namespace
}  // namespace diffapple::nn

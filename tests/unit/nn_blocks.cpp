// Layers against their formulas, written out independently in double precision.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "diffapple/core/error.h"
#include "diffapple/nn/embeddings.h"
#include "diffapple/nn/layers.h"
#include "diffapple/nn/ops.h"
#include "diffapple/nn/resnet.h"

namespace diffapple::nn {
namespace {

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed));
}

TEST(Activation, NamesOfConfigs) {
    EXPECT_EQ(find_activation("swish"), find_activation("silu"));
    EXPECT_THROW(find_activation("tanh"), Error);
    const auto x = random({64}, 1).to(at::kDouble);
    EXPECT_TRUE(at::allclose(ops::activate(x.clone(), Activation::silu), x / (1 + (-x).exp())));
    EXPECT_TRUE(at::allclose(ops::activate(x.clone(), Activation::gelu), 0.5 * x * (1 + at::erf(x / std::sqrt(2.0)))));
}

TEST(GroupNorm, NormalisesEachGroup) {
    const auto x = random({2, 6, 5, 3}, 2), weight = random({6}, 3), bias = random({6}, 4);
    const auto y = ops::group_norm(x, 3, weight, bias, 1e-5);
    const auto groups = x.to(at::kDouble).reshape({2, 3, -1});
    const auto normal = (groups - groups.mean(-1, true)) / (groups.var(-1, /*unbiased=*/false, true) + 1e-5).sqrt();
    const auto expected = normal.view({2, 6, 5, 3}) * weight.view({6, 1, 1}) + bias.view({6, 1, 1});
    EXPECT_TRUE(at::allclose(y.to(at::kDouble), expected, 1e-4, 1e-5));
    EXPECT_THROW(GroupNorm(4, 6, 1e-5), Error);
}

TEST(Packing, ChangesNoBit) {
    const c10::InferenceMode guard;
    for (const auto type : {at::kFloat, at::kBFloat16}) {
        const auto linear = std::make_shared<Linear>(48, 80);
        linear->weight.set_data(random({80, 48}, 21).to(type));
        linear->bias.set_data(random({80}, 22).to(type));
        const auto convolution = std::make_shared<Conv2d>(16, 32, 3, 1, 1);
        convolution->weight.set_data(random({32, 16, 3, 3}, 23).to(type).contiguous(at::MemoryFormat::ChannelsLast));
        convolution->bias.set_data(random({32}, 24).to(type));
        const auto x = random({2, 7, 48}, 25).to(type);
        const auto map = random({2, 16, 9, 7}, 26).to(type).contiguous(at::MemoryFormat::ChannelsLast);
        pack_weights(*linear, 2);
        pack_weights(*convolution, 2);
        const auto y = linear->forward(x), image = convolution->forward(map);
        EXPECT_TRUE(at::allclose(y, at::linear(x, linear->weight, linear->bias), 1e-2, 1e-2)) << type;
        for (int pass = 1; pass < 5; ++pass) {
            EXPECT_TRUE(at::equal(linear->forward(x), y)) << type << " " << pass;
            EXPECT_TRUE(at::equal(convolution->forward(map), image)) << type << " " << pass;
        }
        if (ops::packing_pays(y)) EXPECT_LT(linear->weight.storage().nbytes(), 48U);  // its memory was given back
    }
}

TEST(Attention, IsSoftmaxOfScaledProducts) {
    const auto q = random({2, 7, 12}, 5), k = random({2, 9, 12}, 6), v = random({2, 9, 12}, 7);
    const auto heads = [](const at::Tensor& x) { return x.to(at::kDouble).view({2, -1, 3, 4}).transpose(1, 2); };
    const auto scores = at::matmul(heads(q), heads(k).transpose(-1, -2)) / std::sqrt(4.0);
    const auto expected = at::matmul(at::softmax(scores, -1), heads(v)).transpose(1, 2).reshape({2, 7, 12});
    EXPECT_TRUE(at::allclose(ops::attention(q, k, v, 3).to(at::kDouble), expected, 1e-4, 1e-5));
}

TEST(Attention, OfManyRowsIsThatOfEachRow) {
    const auto q = random({1, 1501, 8}, 9), k = random({1, 1500, 8}, 10), v = random({1, 1500, 8}, 11);
    const auto all = ops::attention(q, k, v, 2);
    for (const int64_t row : {0, 698, 699, 1500})
        EXPECT_TRUE(at::allclose(ops::attention(q.narrow(1, row, 1), k, v, 2), all.narrow(1, row, 1), 1e-4, 1e-6))
            << row;
}

TEST(Attention, InBf16IsRoundedOnceOrTwice) {
    const auto draw = [](uint64_t seed) { return random({2, 300, 80}, seed).mul(2).to(at::kBFloat16); };
    const auto q = draw(12), k = draw(13), v = draw(14);
    const auto exact = ops::attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), 2);
    const auto error = (ops::attention(q, k, v, 2).to(at::kDouble) - exact).norm() / exact.norm();
    EXPECT_LT(error.item<double>(), 0.004);  // LibTorch's own kernel: 0.0018; products in bf16: 0.01
}

TEST(Geglu, IsOneHalfTimesTheGeluOfTheOther) {
    const auto x = random({2, 5, 12}, 15), weight = random({20, 12}, 16), bias = random({20}, 17);
    const auto halves = (at::matmul(x, weight.t()) + bias).chunk(2, -1);
    EXPECT_TRUE(at::allclose(ops::linear_geglu(x, weight, bias), halves[0] * at::gelu(halves[1]), 1e-4, 1e-5));
}

TEST(Layouts, SequenceAndBack) {
    const auto x = random({2, 3, 4, 5}, 8);
    const auto sequence = ops::image_to_sequence(x);
    EXPECT_EQ(sequence.sizes(), (at::IntArrayRef{2, 20, 3}));
    EXPECT_TRUE(at::equal(sequence[1][7], x[1].select(1, 1).select(1, 2)));
    EXPECT_TRUE(at::equal(ops::sequence_to_image(sequence, 4, 5), x));
}

TEST(Embedding, IsSinusoidal) {
    const auto embedding = sinusoidal_embedding(17, 9, /*flip_sin_to_cos=*/true, /*freq_shift=*/1);
    ASSERT_EQ(embedding.sizes(), (at::IntArrayRef{1, 9}));
    for (int i = 0; i < 4; ++i) {
        const double angle = 17 * std::pow(10000.0, -i / 3.0);
        EXPECT_NEAR(embedding[0][i].item<double>(), std::cos(angle), 2e-6) << i;
        EXPECT_NEAR(embedding[0][4 + i].item<double>(), std::sin(angle), 2e-6) << i;
    }
    EXPECT_EQ(embedding[0][8].item<double>(), 0);
}

TEST(Parameters, TakeNoMemoryUntilLoaded) {
    const Linear layer(100'000, 100'000);  // 40 GB, if it were allocated
    EXPECT_EQ(layer.weight.numel(), 10'000'000'000);
    EXPECT_LE(layer.weight.storage().nbytes(), 4U);
}

}  // namespace
}  // namespace diffapple::nn

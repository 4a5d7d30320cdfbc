// The stand-in mps device computes what the CPU computes: the same bits in fp32, results rounded to half precision
// otherwise; views, in-place and out variants alias as they do everywhere.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace diffapple {
namespace {

using Tensors = std::vector<at::Tensor>;
using Compute = std::function<at::Tensor(const Tensors&)>;

const at::Device kDevice(at::kMPS);

/// Reproducible normal numbers on the CPU.
at::Tensor normal(at::IntArrayRef sizes, int64_t seed = 1) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(seed));
    return at::randn(sizes, generator);
}

at::Tensor indices(std::initializer_list<int64_t> values) {
    return at::tensor(at::ArrayRef<int64_t>(values));
}

Tensors on_device(const Tensors& tensors) {
    Tensors moved;
    for (const at::Tensor& tensor : tensors) moved.push_back(tensor.to(kDevice));
    return moved;
}

/// Floating-point tensors in the given type, others as they are.
Tensors in_type(const Tensors& tensors, at::ScalarType dtype) {
    Tensors cast;
    for (const at::Tensor& tensor : tensors) cast.push_back(tensor.is_floating_point() ? tensor.to(dtype) : tensor);
    return cast;
}

struct Case {
    std::string name;
    Tensors inputs;
    Compute compute;
};

std::vector<Case> cases() {
    const at::Tensor image = normal({2, 8, 9, 7});
    const at::Tensor sequence = normal({2, 5, 16});
    const at::Tensor heads = normal({2, 4, 6, 8});
    return {
        {"conv2d",
         {image, normal({6, 8, 3, 3}, 2), normal({6}, 3)},
         [](const Tensors& x) {
             return at::conv2d(x[0], x[1], x[2], {2, 2}, {1, 1});
         }},
        {"conv2d_no_bias", {image, normal({6, 8, 1, 1}, 2)}, [](const Tensors& x) { return at::conv2d(x[0], x[1]); }},
        {"group_norm",
         {image, normal({8}, 2), normal({8}, 3)},
         [](const Tensors& x) { return at::group_norm(x[0], 4, x[1], x[2], 1e-6); }},
        {"layer_norm",
         {sequence, normal({16}, 2), normal({16}, 3)},
         [](const Tensors& x) { return at::layer_norm(x[0], {16}, x[1], x[2]); }},
        {"linear",
         {sequence, normal({12, 16}, 2), normal({12}, 3)},
         [](const Tensors& x) { return at::linear(x[0].flatten(0, 1), x[1], x[2]); }},
        {"sdpa",
         {heads, normal({2, 4, 6, 8}, 2), normal({2, 4, 6, 8}, 3)},
         [](const Tensors& x) { return at::scaled_dot_product_attention(x[0], x[1], x[2]); }},
        {"sdpa_with_mask",
         {heads, normal({2, 4, 6, 8}, 2), normal({2, 4, 6, 8}, 3), normal({6, 6}, 4)},
         [](const Tensors& x) { return at::scaled_dot_product_attention(x[0], x[1], x[2], x[3]); }},
        {"matmul", {heads, normal({2, 4, 8, 3}, 2)}, [](const Tensors& x) { return at::matmul(x[0], x[1]); }},
        {"baddbmm",
         {normal({2, 5, 3}, 4), sequence, normal({2, 16, 3}, 2)},
         [](const Tensors& x) { return at::baddbmm(x[0], x[1], x[2], 0.5, 2.0); }},
        {"einsum",
         {sequence, normal({2, 7, 16}, 2)},
         [](const Tensors& x) {
             return at::einsum("bic,bjc->bij", {x[0], x[1]});
         }},
        {"silu", {image}, [](const Tensors& x) { return at::silu(x[0]); }},
        {"gelu", {image}, [](const Tensors& x) { return at::gelu(x[0]); }},
        {"gelu_tanh", {image}, [](const Tensors& x) { return at::gelu(x[0], "tanh"); }},
        {"quick_gelu", {image}, [](const Tensors& x) { return x[0] * at::sigmoid(1.702 * x[0]); }},
        {"mish", {image}, [](const Tensors& x) { return at::mish(x[0]); }},
        {"softmax", {sequence}, [](const Tensors& x) { return at::softmax(x[0], -1); }},
        {"interpolate_nearest",
         {image},
         [](const Tensors& x) {
             return at::upsample_nearest2d(x[0], {18, 14});
         }},
        {"interpolate_bilinear",
         {image},
         [](const Tensors& x) {
             return at::upsample_bilinear2d(x[0], {18, 14}, /*align_corners=*/false);
         }},
        {"interpolate_bicubic",
         {image},
         [](const Tensors& x) {
             return at::upsample_bicubic2d(x[0], {18, 14}, /*align_corners=*/false);
         }},
        {"avg_pool2d",
         {image},
         [](const Tensors& x) {
             return at::avg_pool2d(x[0], {2, 2});
         }},
        {"pad_constant",
         {image},
         [](const Tensors& x) {
             return at::pad(x[0], {0, 1, 0, 1});
         }},
        {"pad_reflect",
         {image},
         [](const Tensors& x) {
             return at::pad(x[0], {2, 2, 1, 1}, "reflect");
         }},
        {"cat",
         {image, normal({2, 3, 9, 7}, 2)},
         [](const Tensors& x) {
             return at::cat({x[0], x[1]}, 1);
         }},
        {"stack",
         {image, image},
         [](const Tensors& x) {
             return at::stack({x[0], x[1]});
         }},
        {"embedding",
         {normal({10, 4}), indices({3, 0, 9})},
         [](const Tensors& x) { return at::embedding(x[0], x[1]); }},
        {"gather_at_argmax",
         {sequence},
         [](const Tensors& x) { return x[0].gather(2, x[0].argmax(2, /*keepdim=*/true)); }},
        {"clamp", {image}, [](const Tensors& x) { return at::clamp(x[0], -0.5, 0.5); }},
        {"arithmetic",
         {image},
         [](const Tensors& x) { return (x[0] * 2.0 - x[0].abs().sqrt() + 0.25).pow(2) / (1.0 + x[0].exp()); }},
        {"where", {image}, [](const Tensors& x) { return at::where(x[0] > 0, x[0], 0.0); }},
        {"mean_and_std",
         {image},
         [](const Tensors& x) {
             return x[0].mean({1}) + x[0].std({1, 2, 3}).view({2, 1, 1});
         }},
        {"cumprod", {sequence}, [](const Tensors& x) { return at::cumprod(x[0], 1); }},
        {"quantile", {sequence.flatten(1)}, [](const Tensors& x) { return at::quantile(x[0], 0.9, 1); }},
        {"sinusoids",
         {sequence},
         [](const Tensors& x) {
             const at::Tensor t = at::arange(16, x[0].options().dtype(at::kFloat));
             return at::cat({at::sin(t), at::cos(t), at::exp(-t)}).to(x[0].dtype());
         }},
        {"triu_mask",
         {normal({6, 6})},
         [](const Tensors& x) {
             return at::full({6, 6}, -std::numeric_limits<float>::infinity(), x[0].options()).triu(1) + x[0];
         }},
        {"to_8_bit",
         {image},
         [](const Tensors& x) { return (x[0] / 2 + 0.5).clamp(0, 1).mul(255).round().to(at::kByte); }},
        {"views",
         {heads},
         [](const Tensors& x) {
             const auto halves = x[0].transpose(1, 2).flatten(2).chunk(2, -1);
             return halves[0].contiguous() + halves[1].unflatten(-1, {2, 8}).select(2, 0).repeat({1, 1, 2});
         }},
        {"permute_expand",
         {heads},
         [](const Tensors& x) {
             return x[0].permute({3, 2, 1, 0}).unsqueeze(0).expand({2, 8, 6, 4, 2}).contiguous();
         }},
        {"unfold", {sequence}, [](const Tensors& x) { return x[0].unfold(1, 3, 2).contiguous(); }},
        {"fft", {image}, [](const Tensors& x) { return at::real(at::fft_fftn(x[0].to(at::kFloat))).contiguous(); }},
    };
}

void expect_same_bits(const at::Tensor& device_result, const at::Tensor& cpu_result, const std::string& name) {
    EXPECT_TRUE(device_result.is_mps()) << name;
    EXPECT_EQ(device_result.scalar_type(), cpu_result.scalar_type()) << name;
    EXPECT_EQ(device_result.strides(), cpu_result.strides()) << name;
    EXPECT_TRUE(at::equal(device_result.cpu(), cpu_result)) << name;
}

void expect_every_case_as_on_the_cpu() {
    for (const Case& test : cases()) {
        SCOPED_TRACE(test.name);
        expect_same_bits(test.compute(on_device(test.inputs)), test.compute(test.inputs), test.name);
    }
}

}  // namespace

TEST(StandinOperators, Fp32IsTheCpusBitForBitInInferenceMode) {
    const c10::InferenceMode inference;
    expect_every_case_as_on_the_cpu();
}

TEST(StandinOperators, Fp32IsTheCpusBitForBitWithoutGradients) {
    const at::NoGradGuard no_gradients;
    expect_every_case_as_on_the_cpu();
}

TEST(StandinOperators, Fp32IsTheCpusBitForBitInGradientMode) {
    expect_every_case_as_on_the_cpu();
}

/// A half-precision result is at most a few roundings from the one in fp32 of the same, already rounded inputs.
void expect_close_to_fp32(at::ScalarType dtype, double tolerance) {
    const c10::InferenceMode inference;
    for (const Case& test : cases()) {
        if (test.name == "quantile") continue;  // LibTorch has it in fp32 only, on every device
        SCOPED_TRACE(test.name);
        const Tensors inputs = in_type(test.inputs, dtype);
        const at::Tensor exact = test.compute(in_type(inputs, at::kFloat)).to(at::kFloat);
        const at::Tensor result = test.compute(on_device(inputs)).cpu();
        const double scale = std::max(1.0, exact.abs().max().item<double>());
        EXPECT_TRUE(at::allclose(result.to(at::kFloat), exact, tolerance, scale * tolerance)) << result << exact;
    }
}

TEST(StandinOperators, Fp16IsRoundedAfterEachOperator) {
    expect_close_to_fp32(at::kHalf, 1e-2);
}
TEST(StandinOperators, Bf16IsRoundedAfterEachOperator) {
    expect_close_to_fp32(at::kBFloat16, 8e-2);
}

TEST(StandinOperators, Fp16MatrixProductIsTheFp32OneRoundedOnce) {
    const at::Tensor a = normal({5, 64}).to(at::kHalf);
    const at::Tensor b = normal({7, 64}, 2).to(at::kHalf);
    const at::Tensor expected = at::linear(a.to(at::kFloat), b.to(at::kFloat)).to(at::kHalf);
    expect_same_bits(at::linear(a.to(kDevice), b.to(kDevice)), expected, "linear");
    expect_same_bits(at::mm(a.to(kDevice), b.t().to(kDevice)), expected, "mm");
}

TEST(StandinOperators, Fp16OverflowsToInfinity) {
    const at::Tensor large = at::full({4, 4}, 300.0, at::device(kDevice).dtype(at::kHalf));
    EXPECT_TRUE((large * large).isinf().all().item<bool>());
    EXPECT_TRUE(at::mm(large, large).isinf().all().item<bool>());
    EXPECT_TRUE(at::linear(large, large).isinf().all().item<bool>());
    EXPECT_TRUE(at::full({1}, 70000.0).to(kDevice).to(at::kHalf).isinf().all().item<bool>());
    EXPECT_FALSE((large.to(at::kBFloat16) * large.to(at::kBFloat16)).isinf().any().item<bool>());
}

TEST(StandinOperators, InPlaceOperatorsWriteThroughViews) {
    for (const auto dtype : {at::kFloat, at::kHalf}) {
        const at::Tensor x = at::zeros({4, 6}, at::device(kDevice).dtype(dtype));
        x.slice(1, 2, 4).add_(1.0).mul_(3.0);
        x.select(0, 1).fill_(2.0);
        x.t()[0].copy_(at::tensor({5.0F, 6.0F, 7.0F, 8.0F}));
        at::silu_(x.unflatten(1, {2, 3}).chunk(2, 1)[1]);
        EXPECT_EQ(x.cpu()[0][2].item<float>(), 3.0F);
        EXPECT_EQ(x.cpu()[1][1].item<float>(), 2.0F);
        EXPECT_EQ(x.cpu()[3][0].item<float>(), 8.0F);
        EXPECT_LT(x.cpu()[0][3].item<float>(), 3.0F);
        EXPECT_EQ(x.split(3, 1)[1].const_data_ptr(), x.slice(1, 3).const_data_ptr());
    }
}

TEST(StandinOperators, InPlaceMatrixProductsInHalfPrecisionWriteTheirRoundedResult) {
    const at::Tensor product = at::ones({2, 3, 3}, at::device(kDevice).dtype(at::kHalf));
    const at::Tensor a = at::full({2, 3, 4}, 0.5, product.options());
    product.baddbmm_(a, a.transpose(1, 2));
    EXPECT_TRUE(product.cpu().eq(2.0).all().item<bool>());
}

TEST(StandinOperators, OutVariantsFillAndGrowTheirResult) {
    const at::Tensor a = normal({3, 5});
    const at::Tensor b = normal({5, 2}, 2);
    for (const auto dtype : {at::kFloat, at::kHalf}) {
        const at::Tensor expected = at::mm(a.to(dtype).to(at::kFloat), b.to(dtype).to(at::kFloat)).to(dtype);
        at::Tensor sized = at::empty({3, 2}, at::device(kDevice).dtype(dtype));
        const void* const memory = sized.const_data_ptr();
        at::mm_out(sized, a.to(kDevice, dtype), b.to(kDevice, dtype));
        expect_same_bits(sized, expected, "sized");
        EXPECT_EQ(sized.const_data_ptr(), memory);
        at::Tensor grown = at::empty({0}, sized.options());
        at::mm_out(grown, a.to(kDevice, dtype), b.to(kDevice, dtype));
        expect_same_bits(grown, expected, "grown");
    }
}

TEST(StandinOperators, CopiesConvertBroadcastAndKeepStrides) {
    const at::Tensor image = normal({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor moved = image.to(kDevice);
    EXPECT_EQ(moved.strides(), image.strides());
    EXPECT_TRUE(at::equal(moved.contiguous().cpu(), image));
    EXPECT_TRUE(at::equal(image.to(kDevice, at::kHalf).cpu(), image.to(at::kHalf)));
    const at::Tensor target = at::empty({2, 3}, kDevice);
    target.copy_(at::tensor({1, 2, 3}));
    EXPECT_TRUE(at::equal(target.cpu(), at::tensor({1.0F, 2.0F, 3.0F}).expand({2, 3})));
    EXPECT_TRUE(at::equal(at::full({2}, 0.1, at::kDouble).to(at::kFloat).to(kDevice).cpu(), at::full({2}, 0.1F)));
}

TEST(StandinOperators, ParametersThatWantGradientsWork) {
    const at::Tensor weight = normal({3, 4}).to(kDevice).requires_grad_();
    const at::Tensor x = normal({2, 4}, 2).to(kDevice);
    EXPECT_TRUE(at::equal(at::linear(x, weight).cpu(), at::linear(x.cpu(), weight.cpu())));
}

}  // namespace diffapple

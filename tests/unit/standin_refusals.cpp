// The stand-in mps device refuses what fails, or silently computes something wrong, on a real Mac; each message names
// the operator.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace diffapple {
namespace {

const at::Device kDevice(at::kMPS);

at::Tensor ones(at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat) {
    return at::ones(sizes, at::device(kDevice).dtype(dtype));
}

/// The call must throw, and its message must hold both texts.
void expect_refusal(const std::function<void()>& call, const std::string& op, const std::string& reason) {
    try {
        call();
        ADD_FAILURE() << op << " was not refused (" << reason << ")";
    } catch (const c10::Error& error) {
        const std::string message = error.what_without_backtrace();
        EXPECT_NE(message.find(op), std::string::npos) << message;
        EXPECT_NE(message.find(reason), std::string::npos) << message;
    }
}

constexpr const char* kNoDouble = "doesn't support float64";
constexpr const char* kOnCpu = "is on the CPU";
constexpr const char* kNoKernel = "not currently implemented for the MPS device";
constexpr const char* kNotContiguous = "is not contiguous";
constexpr const char* kTooMany = "2^31 and more";

}  // namespace

TEST(StandinRefusals, Float64) {
    const at::Tensor doubles = at::ones({2}, at::kDouble);
    expect_refusal([&] { doubles.to(kDevice); }, "aten::empty", kNoDouble);
    expect_refusal([&] { ones({2}).to(at::kDouble); }, "aten::empty", kNoDouble);
    expect_refusal([&] { doubles.to(at::kComplexDouble).to(kDevice); }, "aten::empty", kNoDouble);
    expect_refusal([&] { at::arange(3, at::device(kDevice).dtype(at::kDouble)); }, "aten::empty", kNoDouble);
    expect_refusal([&] { at::sum(ones({2}), at::kDouble); }, "aten::sum", kNoDouble);
    expect_refusal([&] { at::empty({2}, at::kDouble).copy_(ones({2})); }, "aten::copy_", kNoDouble);
    // A number is no tensor: its double is converted.
    EXPECT_EQ((ones({2}) * 0.5).scalar_type(), at::kFloat);
    EXPECT_EQ((ones({2}) * at::scalar_tensor(0.5, at::kDouble)).scalar_type(), at::kFloat);
}

TEST(StandinRefusals, CpuTensorBesideMpsTensors) {
    const at::Tensor x = ones({1, 8, 4, 4});
    expect_refusal([&] { x + at::ones({4}); }, "aten::add", kOnCpu);
    expect_refusal([&] { at::ones({4}) * x; }, "aten::mul", kOnCpu);
    expect_refusal([&] { at::cat({x, at::ones({1, 8, 4, 4})}, 1); }, "aten::cat", kOnCpu);
    expect_refusal([&] { at::linear(x, at::ones({3, 4})); }, "aten::linear", kOnCpu);
    expect_refusal([&] { at::linear(x, ones({3, 4}), at::ones({3})); }, "aten::linear", "'bias' is on the CPU");
    expect_refusal([&] { at::conv2d(x, at::ones({4, 8, 3, 3})); }, "aten::convolution", kOnCpu);
    expect_refusal([&] { at::group_norm(x, 2, at::ones({8}), ones({8})); }, "aten::native_group_norm", kOnCpu);
    expect_refusal([&] { at::layer_norm(x, {4}, at::ones({4})); }, "aten::native_layer_norm", kOnCpu);
    expect_refusal([&] { at::embedding(ones({4, 4}), at::zeros({1}, at::kLong)); }, "aten::index_select", kOnCpu);
    expect_refusal(
        [&] {
            at::scaled_dot_product_attention(x, x, x, at::zeros({4, 4}));
        },
        "aten::scaled_dot_product_attention", "'attn_mask' is on the CPU");
    expect_refusal([&] { x.clone().mul_(at::ones({4})); }, "aten::mul", kOnCpu);
}

TEST(StandinRefusals, GeneratorOfTheCpu) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{1});
    expect_refusal([&] { at::randn({2}, generator, at::device(kDevice)); }, "aten::normal_", "generator");
}

TEST(StandinRefusals, OperatorsWithoutAnMpsKernel) {
    expect_refusal(
        [] {
            at::fractional_max_pool2d(ones({1, 1, 4, 4}), {2, 2}, {2, 2}, ones({1, 1, 2}));
        },
        "aten::fractional_max_pool2d", kNoKernel);
    expect_refusal([] { at::special_ndtri(ones({2})); }, "aten::special_ndtri", kNoKernel);
    expect_refusal(
        [] {
            at::mkldnn_reorder_conv2d_weight(ones({2, 2, 3, 3}));
        },
        "aten::mkldnn_reorder_conv2d_weight", kNoKernel);
}

TEST(StandinRefusals, LayersOnTensorsThatAreNotContiguous) {
    const at::Tensor image = ones({1, 8, 4, 4});
    const at::Tensor weight = ones({6, 8, 3, 3});
    const auto channels_last = at::MemoryFormat::ChannelsLast;
    expect_refusal(
        [&] {
            at::conv2d(image, ones({8, 6, 3, 3}).transpose(0, 1));
        },
        "aten::convolution", "'weight' (sizes [6, 8, 3, 3]");
    expect_refusal([&] { at::conv2d(image, weight.contiguous(channels_last)); }, "aten::convolution", kNotContiguous);
    expect_refusal([&] { at::conv2d(image.contiguous(channels_last), weight); }, "aten::convolution", kNotContiguous);
    expect_refusal(
        [&] {
            at::conv2d(ones({1, 16, 4, 4}).chunk(2, 3)[0], ones({6, 16, 1, 1}));
        },
        "aten::convolution", kNotContiguous);
    expect_refusal([&] { at::linear(ones({2, 8}).chunk(2, 1)[0], ones({3, 4})); }, "aten::linear", kNotContiguous);
    expect_refusal([&] { at::linear(ones({2, 4}), ones({4, 3}).t()); }, "aten::linear", kNotContiguous);
}

TEST(StandinRefusals, SeveralFloatingPointTypes) {
    const at::Tensor half = ones({4, 4}, at::kHalf);
    const std::string reason = "mps wants one type";
    expect_refusal([&] { at::linear(half, ones({4, 4})); }, "aten::linear", reason);
    expect_refusal([&] { at::mm(half, ones({4, 4})); }, "aten::mm", reason);
    expect_refusal([&] { at::layer_norm(half, {4}, ones({4})); }, "aten::native_layer_norm", reason);
    expect_refusal([&] { at::conv2d(half.view({1, 1, 4, 4}), ones({1, 1, 3, 3})); }, "aten::convolution", reason);
}

TEST(StandinRefusals, ProductsOf2To31ElementsAndMore) {
    // Views of one number: no memory of that size is needed.
    const at::Tensor tall = ones({1, 1, 1}).expand({1, 32768, 1});
    const at::Tensor wide = ones({1, 1, 1}).expand({1, 1, 65536});
    expect_refusal([&] { at::bmm(tall, wide); }, "aten::bmm", kTooMany);
    expect_refusal([&] { at::matmul(tall[0], wide[0]); }, "aten::mm", kTooMany);
    expect_refusal([&] { at::baddbmm(ones({1}), tall, wide); }, "aten::baddbmm", kTooMany);
    const at::Tensor query = ones({1, 1, 1, 8}).expand({1, 2, 32768, 8});
    expect_refusal([&] { at::scaled_dot_product_attention(query, query, query); }, "aten::scaled_dot_product_attention",
                   kTooMany);
    const at::Tensor large_heads = ones({1, 1, 1, 512}).expand({1, 1, 11586, 512});
    expect_refusal([&] { at::scaled_dot_product_attention(large_heads, large_heads, large_heads); },
                   "aten::scaled_dot_product_attention", "at most 512 MB");
}

TEST(StandinRefusals, LinearLayersOnMoreThanTwoDimensionsAndOnOneRow) {
    const at::Tensor weight = ones({3, 4}), bias = ones({3});
    expect_refusal([&] { at::linear(ones({2, 5, 4}), weight, bias); }, "aten::linear", "flatten it to two");
    expect_refusal([&] { at::linear(ones({2, 5, 4}), weight); }, "aten::linear", "flatten it to two");
    expect_refusal([&] { at::linear(ones({1, 4}), weight, bias); }, "aten::linear", "loses its bias");
    expect_refusal([&] { at::linear(ones({4}), weight, bias); }, "aten::linear", "loses its bias");
    EXPECT_TRUE(at::linear(ones({1, 4}), weight).is_mps());
    EXPECT_TRUE(at::linear(ones({2, 4}), weight, bias).is_mps());
}

TEST(StandinRefusals, CopiesToTheCpuThatConvertOrFillHoles) {
    const at::Tensor x = ones({4, 6});
    expect_refusal([&] { x.to(at::kCPU, at::kHalf); }, "aten::copy_", "then convert on the CPU");
    expect_refusal([&] { at::empty({4, 6}, at::kLong).copy_(x); }, "aten::copy_", "then convert on the CPU");
    expect_refusal([&] { x.to(at::kCPU, at::kDouble); }, "aten::copy_", kNoDouble);
    const at::Tensor holes = at::zeros({4, 6}).slice(1, 0, 6, 2);
    expect_refusal([&] { holes.copy_(x.slice(1, 0, 6, 2)); }, "aten::copy_", "views with holes");
    EXPECT_TRUE(at::equal(x.slice(1, 0, 6, 2).cpu().to(at::kDouble), at::ones({4, 3}, at::kDouble)));
}

TEST(StandinRefusals, CausalAttentionInHalfPrecision) {
    for (const auto dtype : {at::kHalf, at::kBFloat16}) {
        const at::Tensor x = ones({1, 2, 4, 8}, dtype);
        expect_refusal([&] { at::scaled_dot_product_attention(x, x, x, {}, 0.0, /*is_causal=*/true); },
                       "aten::scaled_dot_product_attention", "explicit attn_mask");
    }
    const at::Tensor x = ones({1, 2, 4, 8});
    EXPECT_TRUE(at::scaled_dot_product_attention(x, x, x, {}, 0.0, /*is_causal=*/true).is_mps());
}

}  // namespace diffapple

#include "refusals.h"

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "values.h"

namespace diffapple::standin_mps {
namespace {

/// One call of an operator, as the checks see it.
struct Call {
    const c10::FunctionSchema& schema;
    c10::ArrayRef<c10::IValue> arguments;

    const std::string& op() const { return schema.name(); }
    const std::string& argument_name(size_t i) const { return schema.arguments()[i].name(); }

    /// The tensor given as argument i; undefined where an optional one was left out.
    at::Tensor tensor(size_t i) const { return arguments[i].isTensor() ? arguments[i].toTensor() : at::Tensor(); }
};

void check_device(const Call& call, size_t i, const at::Tensor& tensor) {
    TORCH_CHECK(tensor.is_mps() || tensor.dim() == 0, call.op(), ": argument '", call.argument_name(i),
                "' is on the CPU (sizes ", tensor.sizes(), ") but others are on mps; move it with .to(device) first");
}

void check_generator(const Call& call, const c10::IValue& value) {
    if (!value.isGenerator() || !value.toGenerator().defined()) return;
    TORCH_CHECK(value.toGenerator() == at::detail::getMPSHooks().getDefaultGenerator(), call.op(),
                ": expected a 'mps' device type for generator but found 'cpu'; draw on the CPU and move the result");
}

void check_every_argument(const Call& call) {
    for (size_t i = 0; i < call.arguments.size(); ++i) {
        check_generator(call, call.arguments[i]);
        for_each_tensor(call.arguments[i], [&](const at::Tensor& tensor) {
            check_device(call, i, tensor);
            if (tensor.is_mps()) refuse_double(call.op(), tensor.scalar_type());
        });
    }
}

/// Kernels of Metal's libraries read every tensor in the type of the first.
void check_one_floating_type(const Call& call) {
    std::optional<c10::ScalarType> first;
    for (size_t i = 0; i < call.arguments.size(); ++i) {
        const at::Tensor tensor = call.tensor(i);
        if (!tensor.defined() || !tensor.is_floating_point()) continue;
        if (!first) first = tensor.scalar_type();
        TORCH_CHECK_TYPE(tensor.scalar_type() == *first, call.op(), ": argument '", call.argument_name(i), "' is ",
                         tensor.scalar_type(), " but the first tensor is ", *first, "; mps wants one type");
    }
}

/// From macOS 15 on these kernels take a tensor's memory for contiguous, whatever its strides say.
void check_contiguous(const Call& call) {
    for (size_t i = 0; i < call.arguments.size(); ++i) {
        const at::Tensor tensor = call.tensor(i);
        TORCH_CHECK(!tensor.defined() || tensor.is_contiguous(), call.op(), ": argument '", call.argument_name(i),
                    "' (sizes ", tensor.sizes(), ", strides ", tensor.strides(),
                    ") is not contiguous, which mps reads as if it were; call .contiguous() first");
    }
}

/// Arguments: input, weight, bias.
void check_linear(const Call& call) {
    check_one_floating_type(call);
    check_contiguous(call);
    const at::Tensor x = call.tensor(0);
    TORCH_CHECK(x.dim() <= 2, call.op(), ": an input of ", x.dim(),
                " dimensions gives wrong rows on mps up to LibTorch ",
                "2.13 (from 65,537 on, and in half precision on M5); flatten it to two");
    TORCH_CHECK(!call.tensor(2).defined() || (x.dim() == 2 && x.size(0) > 1), call.op(), ": one row loses its bias on ",
                "M1 with macOS 26 up to LibTorch 2.13; add it to the product");
}

void check_layer(const Call& call) {
    check_one_floating_type(call);
    check_contiguous(call);
}

/// Metal indexes the elements of a product, and of each factor, with 32 bits, one of them a sign in places.
void check_element_count(const Call& call, int64_t elements) {
    constexpr int64_t limit = int64_t{1} << 31;
    TORCH_CHECK(elements < limit, call.op(), ": ", elements,
                " elements, but mps computes products of 2^31 and more wrongly; split it into chunks");
}

/// Attention without a fused kernel holds its products in memory, in fp32, several times.
void check_unfused_attention(const Call& call, const at::Tensor& query, int64_t elements) {
    constexpr int64_t largest_fused_head = 256, limit = 512 << 20;
    TORCH_CHECK(query.size(-1) <= largest_fused_head || elements * 4 <= limit, call.op(), ": ", elements,
                " products of heads that mps has no fused kernel for are ", elements * 4,
                " bytes in memory; at most 512 MB: give it fewer rows at a time");
}

/// For a product of [..., m, k] and [..., k, n], given as arguments `left` and `left + 1`.
template <size_t left>
void check_product(const Call& call) {
    check_one_floating_type(call);
    const at::Tensor a = call.tensor(left);
    const at::Tensor b = call.tensor(left + 1);
    check_element_count(call, a.numel());
    check_element_count(call, b.numel());
    if (a.numel() != 0) check_element_count(call, a.numel() / a.size(-1) * b.size(-1));
}

/// Arguments: query, key, value, attn_mask, dropout_p, is_causal, ...
void check_attention(const Call& call) {
    const at::Tensor query = call.tensor(0);
    const at::Tensor key = call.tensor(1);
    if (query.numel() != 0) {
        const int64_t products = query.numel() / query.size(-1) * key.size(-2);
        check_element_count(call, products);
        check_unfused_attention(call, query, products);
    }
    check_one_floating_type(call);
    const bool is_causal = call.arguments[5].toBool();
    TORCH_CHECK(!is_causal || !c10::isReducedFloatingType(query.scalar_type()), call.op(),
                ": is_causal in half precision lets tokens see later ones on mps before LibTorch 2.13; "
                "give an explicit attn_mask");
}

using Check = void (*)(const Call&);

const std::unordered_map<std::string_view, Check>& checks_by_operator() {
    static const std::unordered_map<std::string_view, Check> checks = {
        {"aten::convolution", &check_layer},
        {"aten::linear", &check_linear},
        {"aten::native_group_norm", &check_one_floating_type},
        {"aten::native_layer_norm", &check_one_floating_type},
        {"aten::mm", &check_product<0>},
        {"aten::bmm", &check_product<0>},
        {"aten::addmm", &check_product<1>},
        {"aten::addmm_", &check_product<1>},
        {"aten::baddbmm", &check_product<1>},
        {"aten::baddbmm_", &check_product<1>},
        {"aten::scaled_dot_product_attention", &check_attention},
    };
    return checks;
}

}  // namespace

void refuse_double(std::string_view op, c10::ScalarType dtype) {
    TORCH_CHECK_TYPE(dtype != at::kDouble && dtype != at::kComplexDouble, op,
                     ": Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
                     "Please use float32 instead.");
}

void refuse_converting_copy(const at::Tensor& destination, const at::Tensor& source) {
    if (!source.is_mps() || !destination.is_cpu()) return;
    TORCH_CHECK(
        destination.scalar_type() == source.scalar_type(), "aten::copy_: a copy from mps to the CPU that converts ",
        source.scalar_type(), " to ", destination.scalar_type(),
        " is wrong up to LibTorch 2.13 (of views), and in float64 in 2.14; copy first, then convert on the CPU");
    TORCH_CHECK(
        destination.is_non_overlapping_and_dense() || destination.strides() != source.strides(),
        "aten::copy_: a copy from mps to the CPU between views with holes writes into the holes up to LibTorch ",
        "2.13; make the source contiguous and copy it whole");
}

void refuse_what_a_mac_gets_wrong(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments) {
    const Call call{schema, arguments};
    check_every_argument(call);
    const auto& checks = checks_by_operator();
    if (const auto check = checks.find(call.op()); check != checks.end()) check->second(call);
}

}  // namespace diffapple::standin_mps

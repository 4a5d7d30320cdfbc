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

void check_layer(const Call& call) {
    check_one_floating_type(call);
    check_contiguous(call);
}

/// Metal indexes the elements of a product, and of each factor, with 32 bits.
void check_element_count(const Call& call, int64_t elements) {
    constexpr int64_t limit = int64_t{1} << 32;
    TORCH_CHECK(elements <= limit, call.op(), ": ", elements,
                " elements, but mps computes products of more than 2^32 wrongly; split it into chunks");
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
    check_one_floating_type(call);
    const at::Tensor query = call.tensor(0);
    const at::Tensor key = call.tensor(1);
    if (query.numel() != 0) check_element_count(call, query.numel() / query.size(-1) * key.size(-2));
    const bool is_causal = call.arguments[5].toBool();
    TORCH_CHECK(!is_causal || !c10::isReducedFloatingType(query.scalar_type()), call.op(),
                ": is_causal in half precision lets tokens see later ones on mps before LibTorch 2.13; "
                "give an explicit attn_mask");
}

using Check = void (*)(const Call&);

const std::unordered_map<std::string_view, Check>& checks_by_operator() {
    static const std::unordered_map<std::string_view, Check> checks = {
        {"aten::convolution", &check_layer},
        {"aten::linear", &check_layer},
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

void refuse_what_a_mac_gets_wrong(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments) {
    const Call call{schema, arguments};
    check_every_argument(call);
    const auto& checks = checks_by_operator();
    if (const auto check = checks.find(call.op()); check != checks.end()) check->second(call);
}

}  // namespace diffapple::standin_mps

#include "fallback.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/ops/empty.h>

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "alias.h"
#include "allocator.h"
#include "counts.h"
#include "refusals.h"
#include "values.h"

namespace diffapple::standin_mps {
namespace {

using Values = std::vector<c10::IValue>;

bool is_half_precision(const at::Tensor& tensor) {
    return c10::isReducedFloatingType(tensor.scalar_type());
}

/// The half-precision type among the arguments; Undefined where there is none.
c10::ScalarType half_precision_type(const Values& arguments) {
    auto type = c10::ScalarType::Undefined;
    for (const c10::IValue& argument : arguments)
        for_each_tensor(argument, [&](const at::Tensor& tensor) {
            if (type == c10::ScalarType::Undefined && is_half_precision(tensor)) type = tensor.scalar_type();
        });
    return type;
}

bool is_slow_in_half_precision(const std::string& op) {
    static const std::unordered_set<std::string_view> slow = {
        "aten::convolution", "aten::linear",  "aten::mm",       "aten::mv",
        "aten::addmm",       "aten::addmm_",  "aten::addmv",    "aten::bmm",
        "aten::addbmm",      "aten::baddbmm", "aten::baddbmm_", "aten::scaled_dot_product_attention"};
    return slow.contains(op);
}

/// Results that are no tensors, or whose shape depends on values: the host waits for them.
bool gives_the_host_a_value(const std::string& op) {
    static const std::unordered_set<std::string_view> waiting = {
        "aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::masked_select", "aten::is_nonzero"};
    return waiting.contains(op);
}

bool is_optional_generator(const c10::Argument& argument) {
    const auto* const optional = argument.type()->castRaw<c10::OptionalType>();
    return optional && optional->getElementType()->kind() == c10::TypeKind::GeneratorType;
}

/// A tensor that a CPU kernel may resize and fill in place of an `out` argument of the device.
at::Tensor host_output(const at::Tensor& out, bool in_float) {
    return at::empty({0}, in_float && is_half_precision(out) ? at::kFloat : out.scalar_type());
}

/// The argument as the CPU's kernel gets it.
c10::IValue host_argument(const c10::Argument& argument, const c10::IValue& value, bool in_float) {
    if (value.isDevice()) return c10::Device(c10::kCPU);
    if (value.isNone() && is_optional_generator(argument)) return at::detail::getMPSHooks().getDefaultGenerator();
    return map_tensors(value, [&](const at::Tensor& tensor) {
        // An alias cannot grow, and an empty `out` is there to grow.
        if (argument.is_out() && (in_float || tensor.numel() == 0)) return host_output(tensor, in_float);
        const at::Tensor alias = host_alias(tensor);
        return in_float && is_half_precision(tensor) ? alias.to(at::kFloat) : alias;
    });
}

/// Gives the device's tensor the value that the kernel wrote, unless it wrote into the device's memory itself.
void write_back(const at::Tensor& host, const at::Tensor& tensor) {
    if (host.const_data_ptr() == host_address(tensor.const_data_ptr())) return;
    if (tensor.sizes() != host.sizes()) tensor.resize_(host.sizes());
    host_alias(tensor).copy_(host);
}

/// One call of the CPU's kernel: its arguments, kept to read what it wrote into them, and its results.
struct HostCall {
    bool in_float;  ///< computes in fp32 what was asked for in half precision
    Values arguments;
    torch::jit::Stack results;

    HostCall(const c10::OperatorHandle& op, const Values& device_arguments, bool compute_in_float)
        : in_float(compute_in_float) {
        for (size_t i = 0; i < device_arguments.size(); ++i)
            arguments.push_back(host_argument(op.schema().arguments()[i], device_arguments[i], in_float));
        results = arguments;
        op.callBoxed(&results);
    }

    void write_back_to(const Values& device_arguments, const c10::FunctionSchema& schema) const {
        for (size_t i = 0; i < arguments.size(); ++i) {
            const auto* const alias = schema.arguments()[i].alias_info();
            if (alias && alias->isWrite() && arguments[i].isTensor())
                write_back(arguments[i].toTensor(), device_arguments[i].toTensor());
        }
    }
};

HostCall call_cpu_kernel(const c10::OperatorHandle& op, const Values& arguments, bool has_half_precision) {
    if (has_half_precision && is_slow_in_half_precision(op.schema().name()))
        return HostCall(op, arguments, /*compute_in_float=*/true);
    try {
        return HostCall(op, arguments, /*compute_in_float=*/false);
    } catch (const c10::NotImplementedError&) {
        // The kernel has no version for half precision; kernels choose their version before they compute.
        if (!has_half_precision) throw;
        return HostCall(op, arguments, /*compute_in_float=*/true);
    }
}

/// The device's tensor that the operator returns as its i-th result because it wrote into it.
const c10::IValue* written_argument(const c10::FunctionSchema& schema, size_t i, const Values& arguments) {
    const auto* const alias = schema.returns()[i].alias_info();
    if (!alias) return nullptr;
    for (size_t j = 0; j < arguments.size(); ++j) {
        const auto* const candidate = schema.arguments()[j].alias_info();
        if (candidate && alias->isWrite() && *candidate == *alias) return &arguments[j];
    }
    TORCH_CHECK(false, schema.name(), ": the stand-in mps device has no kernel for this view");
}

/// A result of the CPU's kernel as the device's; fp32 becomes `float_type`.
c10::IValue device_result(const std::string& op, const c10::IValue& value, c10::ScalarType float_type) {
    return map_tensors(value, [&](const at::Tensor& tensor) {
        refuse_double(op, tensor.scalar_type());
        return device_tensor(tensor.scalar_type() == at::kFloat ? tensor.to(float_type) : tensor);
    });
}

}  // namespace

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
    const c10::FunctionSchema& schema = op.schema();
    const Values arguments = torch::jit::pop(*stack, schema.arguments().size());
    refuse_what_a_mac_gets_wrong(schema, arguments);
    note_queued();
    if (gives_the_host_a_value(schema.name())) count_wait();

    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto half_type = half_precision_type(arguments);
    const HostCall call = call_cpu_kernel(op, arguments, half_type != c10::ScalarType::Undefined);
    call.write_back_to(arguments, schema);
    const auto float_type = call.in_float ? half_type : at::kFloat;
    for (size_t i = 0; i < call.results.size(); ++i) {
        const c10::IValue* const written = written_argument(schema, i, arguments);
        stack->push_back(written ? *written : device_result(schema.name(), call.results[i], float_type));
    }
}

void refuse_operator(const c10::OperatorHandle& op, torch::jit::Stack*) {
    TORCH_CHECK_NOT_IMPLEMENTED(false, "The operator '", op.operator_name(),
                                "' is not currently implemented for the MPS device.");
}

}  // namespace diffapple::standin_mps

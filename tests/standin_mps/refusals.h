// What the stand-in mps device refuses: calls that fail on a real Mac, and calls that compute something wrong there.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <string_view>

namespace diffapple::standin_mps {

/// Throws c10::TypeError, which names the operator, for float64 and complex128: Metal has no such type.
void refuse_double(std::string_view op, c10::ScalarType dtype);

/// Throws an exception that names the operator and says what to do instead, for a call with
/// - a float64 or complex128 tensor;
/// - a CPU tensor beside mps tensors, unless it has no dimensions, or a generator of the CPU;
/// - a tensor that is not contiguous (channels_last included) in a convolution or linear layer;
/// - tensors of several floating-point types in a matrix product, convolution, normalisation or attention;
/// - a matrix product, attention scores included, of more than 2^32 elements;
/// - is_causal attention in half precision.
void refuse_what_a_mac_gets_wrong(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments);

}  // namespace diffapple::standin_mps

// What the stand-in mps device refuses: calls that fail on a real Mac, and calls that compute something wrong there.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <string_view>

namespace diffapple::standin_mps {

/// Throws c10::TypeError, which names the operator, for float64 and complex128: Metal has no such type.
void refuse_double(std::string_view op, c10::ScalarType dtype);

/// Throws an exception for a copy from the device to the CPU that converts, or that is between views with holes.
void refuse_converting_copy(const at::Tensor& destination, const at::Tensor& source);

/// Throws an exception that names the operator and says what to do instead, for a call with
/// - a float64 or complex128 tensor;
/// - a CPU tensor beside mps tensors, unless it has no dimensions, or a generator of the CPU;
/// - a tensor that is not contiguous (channels_last included) in a convolution or linear layer;
/// - tensors of several floating-point types in a matrix product, convolution, normalisation or attention;
/// - a linear layer on more than two dimensions, or on one row with a bias;
/// - a matrix product, attention scores included, of 2^31 elements or more;
/// - attention of heads over 256 whose scores take more than 512 MB in fp32;
/// - is_causal attention in half precision.
void refuse_what_a_mac_gets_wrong(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments);

}  // namespace diffapple::standin_mps

// The two sides of a tensor of the stand-in mps device: the device's, and the CPU's, on the same memory.
#pragma once

#include <ATen/core/Tensor.h>

namespace diffapple::standin_mps {

/// A CPU tensor on the memory of an mps tensor, which must outlive it; other tensors are returned as they are.
at::Tensor host_alias(const at::Tensor& tensor);

/// An mps tensor that takes over the memory of a CPU kernel's result.
at::Tensor device_tensor(const at::Tensor& host);

}  // namespace diffapple::standin_mps

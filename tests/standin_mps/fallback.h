// Computes an operator of the stand-in mps device with the CPU's kernel.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace diffapple::standin_mps {

/// Runs the CPU's kernel on the device's memory, without copies, after refusing what a Mac gets wrong.
///
/// In half precision (fp16, bf16) each operator rounds its result once, and overflows to infinity, as on the device.
/// The CPU's kernels do so by themselves, except that some have no half-precision version and that matrix products in
/// fp16 are some hundred times slower: those compute in fp32 and round the result.
void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack);

/// Throws c10::NotImplementedError: for operators without an MPS kernel.
void refuse_operator(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace diffapple::standin_mps

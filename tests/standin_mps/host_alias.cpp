// What LibTorch gives on a Mac, in place of src/core/host_alias.cpp: the CPU's tensor on the memory of the device's.
// The CPU then works on memory that queued work may still use: a race on a Mac, refused here.
#include <ATen/ops/from_blob.h>

#include "allocator.h"
#include "counts.h"
#include "diffapple/core/libtorch.h"

namespace diffapple::libtorch {

at::Tensor host_alias(const at::Tensor& tensor) {
    if (!tensor.is_mps() || !tensor.is_contiguous()) return {};
    TORCH_CHECK(!standin_mps::has_queued(), "host_alias: work is queued, and may use the memory that the CPU is to ",
                "write into; call synchronize first");
    return at::from_blob(
        standin_mps::host_address(tensor.const_data_ptr()), tensor.sizes(), [kept = tensor.storage()](void*) {},
        at::TensorOptions().dtype(tensor.scalar_type()));
}

}  // namespace diffapple::libtorch

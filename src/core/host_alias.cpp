// The memory of an mps tensor as the CPU's: LibTorch has this on macOS alone. A source that is compiled by itself, so
// that the stand-in mps device of the tests, where it is linked, takes its place.
#include "diffapple/core/libtorch.h"

#ifdef __APPLE__

#include <ATen/mps/MPSAllocatorInterface.h>
#include <ATen/ops/from_blob.h>

namespace diffapple::libtorch {

at::Tensor host_alias(const at::Tensor& tensor) {
    if (!tensor.is_mps() || !tensor.is_contiguous()) return {};
    try {
        const c10::Storage alias = at::mps::getIMPSAllocator()->getHostAliasStorage(tensor.storage());
        auto* const begin = static_cast<char*>(const_cast<void*>(alias.data())) +
                            tensor.storage_offset() * static_cast<int64_t>(tensor.itemsize());
        return at::from_blob(
            begin, tensor.sizes(), [kept = alias](void*) {}, at::TensorOptions().dtype(tensor.scalar_type()));
    } catch (const std::exception&) {
        return {};  // memory that the CPU does not share: a Mac with an AMD GPU
    }
}

}  // namespace diffapple::libtorch

#else

namespace diffapple::libtorch {

at::Tensor host_alias(const at::Tensor& /*tensor*/) {
    return {};
}

}  // namespace diffapple::libtorch

#endif

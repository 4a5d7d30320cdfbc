#include "alias.h"

#include <ATen/ops/from_blob.h>

#include <utility>

#include "allocator.h"

namespace diffapple::standin_mps {

at::Tensor host_alias(const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.is_mps()) return tensor;
    at::Tensor alias = at::from_blob(host_address(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                                     at::TensorOptions().dtype(tensor.dtype()));
    if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) alias.unsafeGetTensorImpl()->set_wrapped_number(true);
    return alias;
}

at::Tensor device_tensor(const at::Tensor& host) {
    // A kernel that has nothing to do may return its argument: a host_alias, which owns no memory to take over and is
    // known by its storage's lack of an allocator.
    const at::Tensor owned = host.storage().allocator() ? host : host.clone();
    const c10::Storage& memory = owned.storage();
    const size_t bytes = memory.nbytes();
    c10::Storage storage(c10::Storage::use_byte_size_t(), bytes, allocator().adopt(memory), &allocator(),
                         /*resizable=*/true);
    at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
        std::move(storage), c10::DispatchKeySet(c10::DispatchKey::MPS), owned.dtype());
    tensor.unsafeGetTensorImpl()->set_sizes_and_strides(owned.sizes(), owned.strides(), owned.storage_offset());
    return tensor;
}

}  // namespace diffapple::standin_mps

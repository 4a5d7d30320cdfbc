// Registers the kernels of the stand-in mps device: tensors and views are its own, all that computes runs on the CPU,
// and operators without an MPS kernel in LibTorch are refused.
#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/permute_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include <string>
#include <unordered_set>

#include "alias.h"
#include "allocator.h"
#include "counts.h"
#include "fallback.h"
#include "refusals.h"

namespace diffapple::standin_mps {
namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::MPS);

constexpr const char* kMpsOperators[] = {
#include "mps_operators.inc"
};

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
    const auto type = c10::dtype_or_default(dtype);
    refuse_double("aten::empty", type);
    return at::detail::empty_generic(size, &allocator(), kKeys, type, format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
    const auto type = c10::dtype_or_default(dtype);
    refuse_double("aten::empty_strided", type);
    return at::detail::empty_strided_generic(size, stride, &allocator(), kKeys, type);
}

/// Copies within the device, to it and from it. A Mac converts the type on the device, so that even a CPU tensor must
/// have a type of the device's to be copied into; one of float64 is converted on the CPU before it is copied from.
at::Tensor& copy_(at::Tensor& destination, const at::Tensor& source, bool /*non_blocking*/) {
    refuse_double("aten::copy_", destination.scalar_type());
    refuse_converting_copy(destination, source);
    destination.device() == source.device() ? note_queued() : count_wait();
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    host_alias(destination).copy_(host_alias(source));
    return destination;
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
    at::TensorImpl* const tensor = self.unsafeGetTensorImpl();
    c10::StorageImpl* const storage = tensor->unsafe_storage().unsafeGetStorageImpl();
    const size_t bytes = at::detail::computeStorageNbytesContiguous(size, self.itemsize(), self.storage_offset());
    if (bytes > storage->nbytes()) {
        c10::DataPtr memory = allocator().allocate(bytes);
        allocator().copy_data(memory.mutable_get(), storage->data(), storage->nbytes());
        storage->set_data_ptr_noswap(std::move(memory));
        storage->set_nbytes(bytes);
    }
    tensor->set_sizes_contiguous(size);
    if (format) tensor->empty_tensor_restride(*format);
    return self;
}

}  // namespace

TORCH_LIBRARY_IMPL(_, MPS, library) {
    library.fallback(torch::CppFunction::makeFromBoxedFunction<&refuse_operator>());
}

TORCH_LIBRARY_IMPL(aten, MPS, library) {
    std::unordered_set<std::string> registered;
    const auto own = [&](const char* name, auto* kernel) {
        library.impl(name, kernel);
        registered.insert(name);
    };
    own("empty.memory_format", &empty);
    own("empty_strided", &empty_strided);
    own("copy_", &copy_);
    own("resize_", &resize_);
    // Views, and LibTorch's own kernels for them: they look at sizes and strides only, never at the memory.
    own("as_strided", &at::native::as_strided_tensorimpl);
    own("view", &at::native::view);
    own("_reshape_alias", &at::native::_reshape_alias);
    own("permute", &at::native::permute);
    own("unfold", &at::native::unfold);
    own("view_as_real", &at::native::view_as_real);
    own("view_as_complex", &at::native::view_as_complex);
    own("set_.source_Storage_storage_offset", &at::native::set_storage_cpu_);
    own("set_.source_Tensor", &at::native::set_tensor_);

    const auto on_cpu = [&](const char* name) {
        if (registered.insert(name).second)
            library.impl(name, torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
    };
    for (const char* const name : kMpsOperators) on_cpu(name);
    // A build with MPS replaces these from inside, by operators which exist only there.
    on_cpu("convolution");
    on_cpu("scaled_dot_product_attention");
}

TORCH_LIBRARY_IMPL(aten, AutogradMPS, library) {
    // Its own implementation under this key would compose it of other operators before the kernel above is asked.
    library.impl("scaled_dot_product_attention", torch::CppFunction::makeFallthrough());
}

}  // namespace diffapple::standin_mps

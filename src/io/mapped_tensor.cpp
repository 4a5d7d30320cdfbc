#include "mapped_tensor.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstring>
#include <memory>

#include "foreign_files.h"

namespace diffapple {
namespace {

at::Tensor read_mapped(const std::shared_ptr<MappedFile>& file, uint64_t offset, const StoredTensor& stored) {
    const auto options = at::TensorOptions().dtype(stored.dtype);
    if (stored.bytes == 0) return at::empty(stored.shape, options);
    auto* data = const_cast<std::byte*>(file->data() + offset);
    if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(stored.dtype) == 0) {
        return at::from_blob(
            data, stored.shape, [file](void*) {}, options);
    }
    at::Tensor copy = allocate_tensor(stored.shape, stored.dtype, stored.file.string());
    std::memcpy(copy.mutable_data_ptr(), data, stored.bytes);
    return copy;
}

}  // namespace

StoredTensor describe_mapped(const std::shared_ptr<MappedFile>& file, uint64_t offset, uint64_t bytes,
                             c10::ScalarType dtype, const std::vector<int64_t>& shape,
                             const std::filesystem::path& path) {
    StoredTensor stored{.dtype = dtype, .shape = shape, .bytes = bytes, .file = path};
    const auto described = std::make_shared<const StoredTensor>(stored);
    stored.read = [file, offset, described] { return read_mapped(file, offset, *described); };
    stored.read_into = [file, offset, described](const at::Tensor& destination) {
        read_into(*file, offset, *described, destination);
    };
    stored.release = [file, offset, bytes] {
        file->require_intact();
        file->release(offset, bytes);
    };
    return stored;
}

}  // namespace diffapple

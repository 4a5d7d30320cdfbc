// See the header.
#include "foreign_files.h"

#include <ATen/ops/empty.h>

#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple {

void reject_git_lfs_pointer(const MappedFile& file, const std::string& where) {
    const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
    if (text.starts_with("version https://git-lfs")) {
        fail(where, ": is a Git LFS pointer, not the file itself; run 'git lfs pull' in its repository");
    }
}

at::Tensor allocate_tensor(const std::vector<int64_t>& shape, c10::ScalarType dtype, const std::string& where) {
    try {
        return at::empty(shape, at::TensorOptions().dtype(dtype));
    } catch (const std::exception& error) {
        fail(where, ": not enough memory to read a tensor: ", first_line(error));
    }
}

void read_into(const MappedFile& file, uint64_t offset, const StoredTensor& stored, const at::Tensor& destination) {
    if (!destination.is_cpu() || !destination.is_contiguous() || destination.scalar_type() != stored.dtype ||
        destination.nbytes() != stored.bytes)
        fail(stored.file.string(), ": ", counted(stored.bytes, "byte"), " of ", c10::toString(stored.dtype),
             " do not fit into a tensor of ", destination.scalar_type(), ' ', destination.sizes());
    file.read(offset, destination.mutable_data_ptr(), stored.bytes);
}

}  // namespace diffapple

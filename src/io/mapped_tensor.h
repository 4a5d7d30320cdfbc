// A tensor that stands in a mapped file as it is used. Private to the io layer.
#pragma once

#include "diffapple/io/weights.h"
#include "mapped_file.h"

namespace diffapple {

/// The tensor of this dtype and shape whose data, of so many bytes, begins at `offset`: whoever calls has compared
/// these with one another and with the file's size. What is read borrows the mapped pages; where the data is
/// misaligned, it is a copy.
StoredTensor describe_mapped(const std::shared_ptr<MappedFile>& file, uint64_t offset, uint64_t bytes,
                             c10::ScalarType dtype, const std::vector<int64_t>& shape,
                             const std::filesystem::path& path);

}  // namespace diffapple

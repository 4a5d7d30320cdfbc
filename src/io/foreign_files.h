// Help against files that are not what their name says. Private to the io layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "diffapple/io/weights.h"
#include "mapped_file.h"

namespace diffapple {

constexpr size_t largest_rank = 64;  ///< dimensions of a stored tensor: what LibTorch can index

/// Throws an Error with advice when the file is the small text that Git LFS leaves in place of a large file.
void reject_git_lfs_pointer(const MappedFile& file, const std::string& where);

/// An uninitialised contiguous CPU tensor; an Error naming `where` when there is not enough memory for it.
at::Tensor allocate_tensor(const std::vector<int64_t>& shape, c10::ScalarType dtype, const std::string& where);

/// A tensor's data, which stands at `offset` of the file, into `destination` (StoredTensor::read_into).
void read_into(const MappedFile& file, uint64_t offset, const StoredTensor& stored, const at::Tensor& destination);

}  // namespace diffapple

// The types of ggml's tensors, most of which hold their values in quantised blocks. Private to the io layer.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>

namespace diffapple {

/// A type of ggml's: so many values in so many bytes.
struct GgmlType {
    uint32_t number;  ///< in files (ggml.h: ggml_type)
    const char* name;
    c10::ScalarType dtype;  ///< of the values as they are read
    size_t values, bytes;   ///< of a block
    /// Makes a block's values; null: they are stored as they are.
    void (*decode)(const unsigned char* block, float* values) = nullptr;
};

/// Null for a type that is not supported.
const GgmlType* find_ggml_type(uint32_t number);

}  // namespace diffapple

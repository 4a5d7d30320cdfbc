// ggml's quantised blocks. Private to the io layer.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>

namespace diffapple {

/// A type of ggml's: so many values in so many bytes.
struct GgufBlock {
    uint32_t type;
    const char* name;
    size_t elements, bytes;
    c10::ScalarType dtype;                                        ///< of the values as they are read
    void (*decode)(const unsigned char* block, float* values);  ///< null: they are stored in that dtype
};

/// Null for a type that is not supported.
const GgufBlock* find_gguf_block(uint32_t type);

}  // namespace diffapple

// State dicts in torch's own format. Private to the io layer.
#pragma once

#include "diffapple/io/weights.h"

namespace diffapple {

/// Reads a state dict saved by torch.save (as a zip archive, or as before torch 1.6). The unpickler can build tensors,
/// dicts, lists, tuples, strings and numbers and nothing else; any other global, an overflow, a lying storage size or
/// deep nesting is an Error that says what to do. Data is mapped into memory and borrowed as from safetensors.
StoredTensors open_torch_bin(const std::filesystem::path& path);

}  // namespace diffapple

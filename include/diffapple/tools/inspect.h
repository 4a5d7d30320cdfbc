// What a model's folder holds, without loading its weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "diffapple/models/checkpoint.h"

namespace diffapple {

/// A tensor as its file's header describes it.
struct TensorSummary {
    std::string name;
    std::string dtype;  ///< as it is stored: "fp16", "q4_0"
    std::vector<int64_t> shape;
};

/// One component with weights.
struct ComponentSummary {
    std::string name;                       ///< "unet"
    std::string class_name;                 ///< "UNet2DModel"
    int64_t parameters = 0;                 ///< elements of all floating-point tensors (integer buffers are none)
    uint64_t bytes = 0;                     ///< size of the files; of a single file, its tensors'
    std::map<std::string, int64_t> dtypes;  ///< elements by type: {"fp32": 113673219}
    std::vector<std::string> files;         ///< names, no paths
    std::vector<TensorSummary> tensors;     ///< in name order
};

struct ModelSummary {
    std::string name;
    std::string kind;     ///< of a single file, as recognised; "": a folder
    std::string guessed;  ///< SingleFileKind
    std::vector<ComponentSummary> components;
    std::string scheduler;  ///< class name, "" where the model has no scheduler file
    int64_t total_parameters = 0;
    uint64_t total_bytes = 0;
};

/// Reads configs and the headers of all weight files. Throws Error naming the component whose config or weights are
/// missing (also one that only model_index.json lists) or broken.
ModelSummary inspect_model(const Checkpoint& checkpoint);

/// The class that a config names: diffusers' _class_name, else the first of transformers' architectures, else "".
std::string config_class_name(const nlohmann::json& config);

/// The components that a model lacks, or whose weights it lacks: what a download that broke off left out, or what a
/// single file does not hold.
std::vector<std::string> missing_components(const Checkpoint& checkpoint);

}  // namespace diffapple

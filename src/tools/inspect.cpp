#include "diffapple/tools/inspect.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"

namespace diffapple {
namespace {

/// Classes of model_index.json that have no weights.
bool is_weightless(const std::string& class_name) {
    for (const std::string part : {"Scheduler", "Tokenizer", "FeatureExtractor", "Processor"})
        if (class_name.find(part) != std::string::npos) return true;
    return false;
}

/// Components with weights that model_index.json lists: {"unet": ["diffusers", "UNet2DModel"], ...}. Entries of another
/// form are settings of the pipeline.
std::vector<std::string> listed_components(const Checkpoint& checkpoint) {
    std::vector<std::string> names;
    const auto listed = checkpoint.index();
    if (!listed || checkpoint.file) return names;  // a single file's index is that of its kind
    for (const auto& [name, entry] : listed->items()) {
        const bool is_component = entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string();
        if (is_component && !is_weightless(entry[1])) names.push_back(name);
    }
    return names;
}

/// The components in the folder, then those that are only listed.
std::vector<std::string> all_components(const Checkpoint& checkpoint) {
    std::vector<std::string> names = checkpoint.component_names();
    for (const auto& name : listed_components(checkpoint))
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    if (names.empty()) fail("model ", checkpoint.name, ": has no component with a config.json; download it again");
    return names;
}

int64_t element_count(const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    return count;
}

ComponentSummary inspect_component(const Component& component) {
    const WeightFiles files = component.weights();
    ComponentSummary summary{.name = component.name, .class_name = config_class_name(component.config)};
    if (!component.file) summary.bytes = files.total_bytes();
    for (const auto& file : files.files) summary.files.push_back(file.filename().string());
    for (const auto& [name, tensor] : component.open()) {
        const int64_t elements = element_count(tensor.shape);
        const std::string dtype = tensor.packing ? tensor.packing->name : dtype_name(tensor.dtype);
        summary.dtypes[dtype] += elements;
        if (component.file)  // of it, its part
            summary.bytes += tensor.packing ? tensor.packing->bytes : tensor.bytes;
        if (c10::isFloatingType(tensor.dtype)) summary.parameters += elements;
        summary.tensors.push_back({name, dtype, tensor.shape});
    }
    return summary;
}

std::string scheduler_class(const Checkpoint& checkpoint) {
    if (!checkpoint.read("scheduler/scheduler_config.json") && !checkpoint.read("scheduler_config.json")) return "";
    return config_class_name(checkpoint.scheduler_config());
}

}  // namespace

std::string config_class_name(const nlohmann::json& config) {
    if (const auto found = config.find("_class_name"); found != config.end() && found->is_string()) return *found;
    const auto found = config.find("architectures");
    const bool named = found != config.end() && found->is_array() && !found->empty() && found->front().is_string();
    return named ? found->front().get<std::string>() : "";
}

ModelSummary inspect_model(const Checkpoint& checkpoint) {
    ModelSummary summary{.name = checkpoint.name};
    if (checkpoint.file && checkpoint.folder.empty()) {
        const SingleFileKind kind = checkpoint.file->kind();
        summary.kind = kind.name;
        summary.guessed = kind.guessed;
    }
    for (const auto& name : all_components(checkpoint)) {
        const Component component = checkpoint.component(name);
        try {
            summary.components.push_back(inspect_component(component));
        } catch (const Error& error) {
            throw Error(concat("model ", checkpoint.name, ": its ", name, " cannot be used: ", error.what()),
                        error.code());
        }
        summary.total_parameters += summary.components.back().parameters;
        summary.total_bytes += summary.components.back().bytes;
    }
    summary.scheduler = scheduler_class(checkpoint);
    return summary;
}

std::vector<std::string> missing_components(const Checkpoint& checkpoint) {
    std::vector<std::string> missing;
    if (checkpoint.file)
        for (const auto& [place, config] : checkpoint.file->kind().configs)
            if (const std::string name = place.substr(0, place.find('/'));
                place.ends_with("/config.json") && !checkpoint.file->has(name))
                missing.push_back(name);
    for (const auto& name : all_components(checkpoint)) try {
            checkpoint.component(name).weights();
        } catch (const Error&) {
            missing.push_back(name);
        }
    return missing;
}

}  // namespace diffapple

#include "diffapple/tools/convert.h"

#include <ATen/ATen.h>

#include <map>
#include <nlohmann/json.hpp>

#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/io/claim.h"
#include "diffapple/io/files.h"
#include "diffapple/pipelines/pipeline.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* layout_version = "0.42.1";  // of the diffusers whose layout this is

bool is_of_transformers(const std::string& component) {
    return component.starts_with("text_encoder") || component == "safety_checker";
}

/// A tensor that is converted when it is read.
StoredTensor in_dtype(const StoredTensor& stored, c10::ScalarType dtype, const std::string& name) {
    if (stored.dtype == dtype) return stored;
    StoredTensor converted = stored;
    converted.dtype = dtype;
    converted.packing = {};
    converted.bytes = stored.bytes / c10::elementSize(stored.dtype) * c10::elementSize(dtype);
    converted.read = [stored, dtype, name] {
        const at::Tensor values = stored.read(), made = values.to(dtype);
        if (dtype == c10::kHalf && !made.isfinite().all().item<bool>() &&
            values.to(at::kFloat).isfinite().all().item<bool>())
            fail(stored.file.string(), ": tensor ", quote(name), " has values too large for fp16; convert to bf16");
        return made;
    };
    return converted;
}

/// The source's tensors by component, as they will be written.
std::map<std::string, StoredTensors> read_components(const Checkpoint& source, std::optional<c10::ScalarType> dtype) {
    const auto pipeline = open_pipeline(source, {c10::kCPU, c10::kFloat}, /*with_safety_checker=*/true);
    auto components = pipeline->components().tensors(/*prefer_half=*/dtype == c10::kHalf);
    for (auto& [component, tensors] : components)
        for (auto& [name, tensor] : tensors) {
            if (dtype) tensor = in_dtype(tensor, *dtype, name);
            tensor.read = [read = tensor.read] {
                check_stop();
                return read();
            };
        }
    return components;
}

uint64_t bytes_of(const StoredTensors& tensors) {
    uint64_t bytes = 0;
    for (const auto& [name, tensor] : tensors) bytes += tensor.bytes;
    return bytes;
}

void write_json_file(const fs::path& path, const json& value) {
    write_file_atomically(path, value.dump(2) + "\n");
}

/// The names of transformers 4 and 5: the projection stands outside.
StoredTensors with_text_model(const StoredTensors& tensors) {
    StoredTensors named;
    for (const auto& [name, tensor] : tensors)
        named[name.starts_with("text_projection") ? name : "text_model." + name] = tensor;
    return named;
}

void write_component(const Checkpoint& source, const std::string& name, const StoredTensors& tensors,
                     const fs::path& folder) {
    write_json_file(folder / "config.json", source.component(name).config);
    const bool text = name.starts_with("text_encoder");
    const std::string file = is_of_transformers(name) ? "model" : "diffusion_pytorch_model";
    save_safetensors(folder / (file + ".safetensors"), text ? with_text_model(tensors) : tensors);
}

/// The SentencePiece model stands beside the files that transformers reads, and not as tokenizer.model, which
/// transformers 5 takes for a tokenizer of another kind.
void write_tokenizer(const TokenizerSource& source, const fs::path& folder) {
    source.open().save_model(folder / "sentencepiece.model");
    for (const auto& [name, text] : source.texts) write_file_atomically(folder / name, text);
    if (!source.texts.empty()) return;
    constexpr uintmax_t largest_file = 64 << 20;
    for (const std::string name : {"vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
                                   "special_tokens_map.json", "added_tokens.json"})
        if (is_file(source.folder / name))
            write_file_atomically(folder / name, read_file(source.folder / name, largest_file));
}

/// The source's, naming only what is here.
json make_index(const Checkpoint& source, const fs::path& folder) {
    json index = source.index().value_or(json{{"_class_name", "DDPMPipeline"},
                                              {"scheduler", {"diffusers", "DDPMScheduler"}},
                                              {"unet", {"diffusers", "UNet2DModel"}}});
    for (auto& [name, entry] : index.items())
        if (entry.is_array() && entry.size() == 2 && !is_folder(folder / name)) entry = {nullptr, nullptr};
    if (!index.contains("_diffusers_version")) index["_diffusers_version"] = layout_version;
    return index;
}

void write_folder(const Checkpoint& source, const std::map<std::string, StoredTensors>& components,
                  const fs::path& folder, const OnComponent& on_component) {
    for (const auto& [name, tensors] : components) {
        on_component(name, bytes_of(tensors));
        write_component(source, name, tensors, folder / name);
        if (name.starts_with("text_encoder")) {
            const std::string tokenizer = "tokenizer" + name.substr(std::string("text_encoder").size());
            write_tokenizer(source.tokenizer(tokenizer), folder / tokenizer);
        }
    }
    write_json_file(folder / "scheduler" / "scheduler_config.json", source.scheduler_config());
    if (components.contains("safety_checker"))
        if (const auto processor = source.read("feature_extractor/preprocessor_config.json"))
            write_json_file(folder / "feature_extractor" / "preprocessor_config.json", *processor);
    write_json_file(folder / "model_index.json", make_index(source, folder));
}

/// A folder that gets its name when it is whole. What is left of one that was not finished is removed first.
void write_whole_folder(const fs::path& destination, const std::function<void(const fs::path&)>& write) {
    const fs::path named = destination.has_filename() ? destination : destination.parent_path();
    const fs::path parent = named.has_parent_path() ? named.parent_path() : fs::path(".");
    const fs::path unfinished = parent / concat(".diffapple-convert-", named.filename().string(), ".tmp");
    std::error_code error;
    fs::create_directories(parent, error);
    if (error) fail(parent.string(), ": cannot create folder: ", error.message());
    const auto claim = Claim::take(parent, "convert-" + named.filename().string());
    if (!claim) fail(destination.string(), ": is being written by another process");
    fs::remove_all(unfinished, error);
    if (error) fail(unfinished.string(), ": cannot be removed: ", error.message());
    try {
        write(unfinished);
        fs::rename(unfinished, named, error);
        if (error) fail(destination.string(), ": cannot be written: ", error.message());
    } catch (...) {
        fs::remove_all(unfinished, error);
        throw;
    }
}

}  // namespace

void convert_checkpoint(const Checkpoint& source, const ConvertSettings& settings, const OnComponent& on_component) {
    const fs::path& destination = settings.destination;
    if (settings.single_file && destination.extension() != ".safetensors")
        fail_usage("convert: a single file's name ends in .safetensors, not as ", destination.string());
    if (is_there(destination)) fail(destination.string(), ": exists; give another name");
    auto components = read_components(source, settings.dtype);
    if (!settings.single_file)
        return write_whole_folder(
            destination, [&](const fs::path& folder) { write_folder(source, components, folder, on_component); });
    if (!components.contains("vae"))
        fail("model ", source.name, ": has no form as a single file, which only Stable Diffusion and SDXL have");
    components.erase("safety_checker");  // these files have none
    std::map<std::string, json> configs;
    for (const auto& [name, tensors] : components) configs[name] = source.component(name).config;
    const StoredTensors whole = original_layout(components, configs);
    on_component("all components", bytes_of(whole));
    save_safetensors(destination, whole);
}

}  // namespace diffapple

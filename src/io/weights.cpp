// Finding and opening a component's weight files, single or sharded.
#include "diffapple/io/weights.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/io/files.h"
#include "diffapple/io/json_fields.h"
#include "torch_bin.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

/// One way in which weights may be stored in a folder.
struct Candidate {
    std::string name;
    bool is_index;
};

/// What files are called without their extension. Only transformers calls them "model", and .bin files otherwise.
struct Stem {
    std::string safetensors, bin;
    bool of_transformers;
};

Stem stem_of(const std::string& name) {
    const bool of_transformers = name == "model";
    return {name, of_transformers ? "pytorch_model" : name, of_transformers};
}

/// File names of one variant ("": full precision) in the order in which the library that wrote them reads them: both
/// prefer safetensors; diffusers takes an index before a single file and transformers after it, but neither takes an
/// index of .bin shards before a single .bin file.
std::vector<Candidate> names_of_variant(const Stem& stem, const std::string& variant) {
    std::vector<Candidate> names;
    for (const bool safetensors : {true, false}) {
        const std::string base = safetensors ? stem.safetensors : stem.bin;
        const std::string extension = safetensors ? ".safetensors" : ".bin";
        const std::string infix = variant.empty() ? "" : "." + variant;
        std::vector<Candidate> indices = {{base + extension + ".index" + infix + ".json", true}};
        if (!variant.empty()) {  // spellings of older versions
            indices.push_back({base + infix + extension + ".index.json", true});
            indices.push_back({base + extension + infix + ".index.json", true});
        }
        const bool single_first = stem.of_transformers || !safetensors;
        const Candidate single{base + infix + extension, false};
        if (single_first) names.push_back(single);
        names.insert(names.end(), indices.begin(), indices.end());
        if (!single_first) names.push_back(single);
    }
    return names;
}

std::optional<WeightFiles> find_variant(const fs::path& folder, const Stem& stem, const std::string& variant);

/// What stands between two parts of a text; empty where it does not begin and end with them.
std::string between(const std::string& text, const std::string& before, const std::string& after) {
    const bool fits = text.size() > before.size() + after.size() && text.starts_with(before) && text.ends_with(after);
    return fits ? text.substr(before.size(), text.size() - before.size() - after.size()) : "";
}

/// The variant that a file's name names; empty for any other file, and for a shard.
std::string variant_of_name(const std::string& name, const Stem& stem) {
    for (const auto& [base, extension] : {std::pair(stem.safetensors, std::string(".safetensors")), {stem.bin, ".bin"}})
        for (const auto& [before, after] : {std::pair(base + ".", extension),
                                            {base + extension + ".index.", ".json"},
                                            {base + ".", extension + ".index.json"},
                                            {base + extension + ".", ".index.json"}}) {
            const std::string variant = between(name, before, after);
            const bool is_shard = variant.find("-of-") != std::string::npos;
            if (!variant.empty() && variant.find('.') == std::string::npos && !is_shard) return variant;
        }
    return "";
}

std::set<std::string> variants_in(const fs::path& folder, const Stem& stem) {
    std::set<std::string> variants;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
        if (const std::string variant = variant_of_name(entry->path().filename().string(), stem);
            !variant.empty() && find_variant(folder, stem, variant))
            variants.insert(variant);
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
        fail(folder.string(), ": cannot list its files: ", error.message());
    return variants;
}

/// The variant to take where there are no files without one: the one that says most of the values.
std::optional<std::string> only_variant(const fs::path& folder, const Stem& stem) {
    const std::set<std::string> variants = variants_in(folder, stem);
    for (const char* const precision : {"fp32", "fp16", "bf16"})
        if (variants.contains(precision)) return precision;
    if (variants.size() > 1)
        fail(folder.string(), ": holds weights of several variants (", join(variants, ", "),
             ") and none without; give one of them the name ", stem.safetensors, ".safetensors");
    return variants.empty() ? std::nullopt : std::optional(*variants.begin());
}

/// The index's map from tensor to file name. A name with a folder in it could lead anywhere and is refused.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
    const nlohmann::json json = read_json_file(index);
    const JsonFields fields = JsonFields(json, index.string()).object("weight_map");
    std::map<std::string, std::string> weight_map;
    for (const auto& item : json["weight_map"].items()) {
        const std::string file = fields.text(item.key());
        if (file.empty() || file == "." || file == ".." || file.find_first_of("/\\") != std::string::npos) {
            fields.reject(item.key(), concat("names ", quote(file), ", which is no file of this folder"));
        }
        weight_map[item.key()] = file;
    }
    if (weight_map.empty()) fail(index.string(), ": names no tensors");
    return weight_map;
}

WeightFiles shards_of(const fs::path& index) {
    std::set<std::string> names;
    for (const auto& [tensor, file] : read_weight_map(index)) names.insert(file);
    WeightFiles result{{}, index};
    for (const std::string& name : names) {
        result.files.push_back(index.parent_path() / name);
        if (!is_file(result.files.back())) {
            fail(result.files.back().string(), ": is missing, but ", index.filename().string(), " refers to it");
        }
    }
    return result;
}

std::optional<WeightFiles> find_variant(const fs::path& folder, const Stem& stem, const std::string& variant) {
    for (const Candidate& candidate : names_of_variant(stem, variant)) {
        const fs::path path = folder / candidate.name;
        if (is_file(path)) return candidate.is_index ? shards_of(path) : WeightFiles{{path}, {}};
    }
    return std::nullopt;
}

StoredTensors open_file(const fs::path& path) {
    const std::string extension = lower_ascii(path.extension().string());
    if (extension == ".gguf") return open_gguf(path);
    return extension == ".safetensors" ? open_safetensors(path) : open_torch_bin(path);
}

void check_against_index(const StoredTensors& tensors, const fs::path& index) {
    const auto weight_map = read_weight_map(index);
    for (const auto& [name, file] : weight_map) {
        const auto found = tensors.find(name);
        if (found == tensors.end() || found->second.file.filename() != file) {
            fail(index.string(), ": tensor ", quote(name), " is not in ", file, ", where it should be");
        }
    }
    for (const auto& [name, tensor] : tensors) {
        if (!weight_map.count(name)) fail(tensor.file.string(), ": tensor ", quote(name), " is not in the index");
    }
}

}  // namespace

uint64_t WeightFiles::total_bytes() const {
    uint64_t total = 0;
    for (const fs::path& file : files) {
        std::error_code error;
        const uintmax_t size = fs::file_size(file, error);
        if (error) fail(file.string(), ": ", error.message());
        total += size;
    }
    return total;
}

WeightFiles find_weight_files(const fs::path& folder, const std::string& stem, bool prefer_half) {
    const Stem names = stem_of(stem);
    for (const std::string variant : {prefer_half ? "fp16" : "", ""})
        if (const auto found = find_variant(folder, names, variant)) return *found;
    if (const auto variant = only_variant(folder, names)) return *find_variant(folder, names, *variant);
    fail(folder.string(), ": no weights found; looked for ", names.safetensors, ".safetensors, ", names.bin,
         ".bin, their shards (", names.safetensors, ".safetensors.index.json) and variants (", names.safetensors,
         ".fp16.safetensors)");
}

StoredTensors open_weights(const WeightFiles& files) {
    StoredTensors tensors;
    for (const fs::path& file : files.files) {
        for (auto& [name, tensor] : open_file(file)) {
            const auto [present, added] = tensors.emplace(name, tensor);
            if (!added) fail(file.string(), ": tensor ", quote(name), " is also in ", present->second.file.string());
        }
    }
    if (!files.index.empty()) check_against_index(tensors, files.index);
    return tensors;
}

}  // namespace diffapple

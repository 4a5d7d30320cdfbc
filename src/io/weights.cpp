// Finding and opening a component's weight files, single or sharded.
#include "diffapple/io/weights.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
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

/// File names in the order of preference.
std::vector<Candidate> candidates(const std::string& stem, bool prefer_half) {
    std::vector<Candidate> names;
    for (const std::string extension : {".safetensors", ".bin"}) {
        const std::string base = extension == ".bin" && stem == "model" ? "pytorch_model" : stem;
        const std::vector<Candidate> full = {
            {base + extension, false},
            {base + extension + ".index.json", true},
        };
        const std::vector<Candidate> half = {
            {base + ".fp16" + extension, false},
            {base + ".fp16" + extension + ".index.json", true},
            {base + extension + ".index.fp16.json", true},
        };
        const auto& [first, second] = prefer_half ? std::tie(half, full) : std::tie(full, half);
        names.insert(names.end(), first.begin(), first.end());
        names.insert(names.end(), second.begin(), second.end());
    }
    return names;
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
        if (!fs::is_regular_file(result.files.back())) {
            fail(result.files.back().string(), ": is missing, but ", index.filename().string(), " refers to it");
        }
    }
    return result;
}

StoredTensors open_file(const fs::path& path) {
    return path.extension() == ".safetensors" ? open_safetensors(path) : open_torch_bin(path);
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
    std::vector<std::string> looked_for;
    for (const Candidate& candidate : candidates(stem, prefer_half)) {
        const fs::path path = folder / candidate.name;
        std::error_code error;
        if (fs::is_regular_file(path, error)) return candidate.is_index ? shards_of(path) : WeightFiles{{path}, {}};
        looked_for.push_back(candidate.name);
    }
    fail(folder.string(), ": no weights found; looked for ", join(looked_for, ", "));
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

#include "choose_files.h"

#include <algorithm>
#include <optional>
#include <set>

namespace diffapple {
namespace {

const std::set<std::string> folders_without_weights{"scheduler", "tokenizer", "tokenizer_2", "feature_extractor"};
const std::set<std::string> folders_with_weights{"unet", "vae", "text_encoder", "text_encoder_2", "safety_checker"};

std::string folder_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string name_in(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

/// A model without folders (google/ddpm-*) has its one component in the root.
bool has_components(const std::vector<HubFile>& files) {
    return std::any_of(files.begin(), files.end(), [](const HubFile& file) { return file.path == "unet/config.json"; });
}

bool is_text(const std::string& name) {
    return name.ends_with(".json") || name.ends_with(".txt") || name.ends_with(".model");
}

/// What begins the names of one form of a component's weights, in the order of preference. Shards are
/// "<beginning>-00001-of-00002<extension>" (of variants "<stem>.fp16-00001-..." or "<stem>-00001-...fp16").
struct Form {
    std::string stem, infix, extension;

    bool is_single(const std::string& name) const { return name == stem + infix + extension; }
    bool is_shard(const std::string& name) const {
        const bool other_variant = infix.empty() && name.find(".fp16") != std::string::npos;
        return name.starts_with(stem) && name.ends_with(extension) && name.find("-of-") != std::string::npos &&
               name.find(infix) != std::string::npos && !other_variant;
    }
    bool is_index(const std::string& name) const {
        return name == stem + extension + ".index" + infix + ".json" ||
               name == stem + infix + extension + ".index.json" || name == stem + extension + infix + ".index.json";
    }
};

std::vector<Form> forms(bool prefer_half) {
    std::vector<Form> forms;
    const std::vector<std::string> infixes =
        prefer_half ? std::vector<std::string>{".fp16", ""} : std::vector<std::string>{"", ".fp16"};
    for (const auto& infix : infixes) {
        for (const char* const stem : {"diffusion_pytorch_model", "model"})
            forms.push_back({stem, infix, ".safetensors"});
        for (const char* const stem : {"diffusion_pytorch_model", "pytorch_model"})
            forms.push_back({stem, infix, ".bin"});
    }
    return forms;
}

/// The weights of one folder, in the first form that is there.
std::vector<HubFile> weights_of(const std::vector<HubFile>& files, const std::string& folder, bool prefer_half) {
    for (const Form& form : forms(prefer_half)) {
        std::vector<HubFile> single, sharded;
        bool indexed = false;
        for (const HubFile& file : files) {
            if (folder_of(file.path) != folder) continue;
            const std::string name = name_in(file.path);
            if (form.is_single(name)) single.push_back(file);
            if (form.is_index(name) || form.is_shard(name)) sharded.push_back(file);
            indexed = indexed || form.is_index(name);
        }
        if (!single.empty()) return single;
        if (indexed) return sharded;
    }
    return {};
}

}  // namespace

std::vector<HubFile> choose_files(const std::vector<HubFile>& files, bool prefer_half) {
    const bool components = has_components(files);
    std::vector<HubFile> chosen;
    for (const HubFile& file : files) {
        const std::string folder = folder_of(file.path), name = name_in(file.path);
        const bool of_root =
            folder.empty() && (name == "model_index.json" || name == "README.md" ||
                               (!components && (name == "config.json" || name == "scheduler_config.json")));
        const bool of_weights = folders_with_weights.contains(folder) && name == "config.json";
        if (of_root || of_weights || (folders_without_weights.contains(folder) && is_text(name)))
            chosen.push_back(file);
    }
    std::set<std::string> folders = folders_with_weights;
    if (!components) folders = {""};
    bool any = false;
    for (const auto& folder : folders)
        for (const HubFile& file : weights_of(files, folder, prefer_half)) {
            chosen.push_back(file);
            any = true;
        }
    return any ? chosen : std::vector<HubFile>{};
}

}  // namespace diffapple

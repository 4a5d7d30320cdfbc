#include "diffapple/tools/model_list.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/hub.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/tools/inspect.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

/// A model that an experiment was written for.
struct KnownModel {
    const char* name;
    const char* command;
    uint64_t bytes;
    const char* licence;
    const char* how_to_get;
};

constexpr std::array<KnownModel, 5> known_models{
    {{"google/ddpm-cat-256", "ddpm", 455'000'000, "apache-2.0",
      "hf download google/ddpm-cat-256, or put its files into models/ddpm-cat-256/"},
     {"stable-diffusion-v1-5/stable-diffusion-v1-5", "sd15", 2'740'000'000, "creativeml-openrail-m",
      "hf download stable-diffusion-v1-5/stable-diffusion-v1-5 --include '*.json' '*.txt' '*.fp16.safetensors'"},
     {"stabilityai/sdxl-turbo", "sdxl-turbo", 6'940'000'000, "sai-nc-community",
      "hf download stabilityai/sdxl-turbo --include '*.json' '*.txt' '*.fp16.safetensors'"},
     {"stabilityai/stable-diffusion-2-inpainting", "sd2-inpaint", 2'580'000'000, "openrail++",
      "it left the Hub; put a copy in diffusers layout into models/stable-diffusion-2-inpainting/"},
     {"ddpm-cat-demo", "ddpm", 11'000'000, "mit", "comes with the program, in models/ddpm-cat-demo/"}}};

/// The size of a folder's files. Links to files count as the file (the Hub's snapshots are made of them); links to
/// folders are not followed.
uint64_t size_on_disk(const fs::path& folder) {
    uint64_t bytes = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        std::error_code unreadable;
        const bool is_file = entry->is_regular_file(unreadable);
        const uintmax_t size = is_file ? entry->file_size(unreadable) : 0;
        if (is_file && !unreadable) bytes += size;
    }
    return bytes;
}

std::string trimmed(const std::string& text) {
    constexpr const char* blanks = " \t\r\"'";
    const size_t begin = text.find_first_not_of(blanks);
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

/// `license:` of the model card's front matter (YAML between two lines of three dashes).
std::string licence_of(const fs::path& folder) {
    constexpr uintmax_t max_card_bytes = 4 << 20;
    const fs::path card = folder / "README.md";
    std::error_code ignored;
    if (!fs::is_regular_file(card, ignored) || fs::file_size(card, ignored) > max_card_bytes) return "";
    std::istringstream lines(read_file(card, max_card_bytes));
    std::string line;
    if (!std::getline(lines, line) || trimmed(line) != "---") return "";
    while (std::getline(lines, line) && trimmed(line) != "---")
        if (line.starts_with("license:")) return trimmed(line.substr(std::string("license:").size()));
    return "";
}

/// The command that runs a model with this UNet; a model whose config cannot be read is run by none.
std::string command_for(const Checkpoint& checkpoint) {
    try {
        const Component unet = checkpoint.component("unet");
        const std::string kind = config_class_name(unet.config);
        if (kind == "UNet2DModel") return "ddpm";
        if (kind != "UNet2DConditionModel") return "";
        const auto config = UNet2DConditionConfig::from_json(JsonFields(unet.config, unet.where()));
        if (config.text_time) return "sdxl-turbo";
        return config.in_channels > config.out_channels ? "sd2-inpaint" : "sd15";
    } catch (const Error&) {
        return "";
    }
}

ModelEntry describe(const Checkpoint& checkpoint) {
    return {.name = checkpoint.name,
            .command = command_for(checkpoint),
            .found = true,
            .folder = checkpoint.folder,
            .bytes = size_on_disk(checkpoint.folder),
            .licence = licence_of(checkpoint.folder)};
}

/// "ddpm-cat-256" of "google/ddpm-cat-256": the folder's name under models/.
std::string short_name(const std::string& name) {
    return name.substr(name.rfind('/') + 1);
}

bool is_known_as(const KnownModel& known, const ModelEntry& entry) {
    return entry.name == known.name || entry.name == short_name(known.name);
}

}  // namespace

std::vector<ModelEntry> list_models() {
    std::vector<ModelEntry> found;
    for (const auto& checkpoint : list_checkpoints()) found.push_back(describe(checkpoint));
    std::vector<ModelEntry> entries;
    for (const auto& known : known_models) {
        const auto others = std::stable_partition(found.begin(), found.end(),
                                                  [&](const ModelEntry& entry) { return is_known_as(known, entry); });
        if (others == found.begin())
            entries.push_back({.name = known.name,
                               .command = known.command,
                               .bytes = known.bytes,
                               .licence = known.licence,
                               .how_to_get = known.how_to_get});
        for (auto entry = found.begin(); entry != others; ++entry) {
            if (entry->licence.empty()) entry->licence = known.licence;
            entries.push_back(*entry);
        }
        found.erase(found.begin(), others);
    }
    entries.insert(entries.end(), found.begin(), found.end());
    return entries;
}

Removal find_removal(const std::string& name) {
    const auto checkpoints = list_checkpoints();
    const auto found = std::find_if(checkpoints.begin(), checkpoints.end(),
                                    [&](const Checkpoint& checkpoint) { return checkpoint.name == name; });
    if (found == checkpoints.end())
        fail("--remove ", name, ": there is no model of that name; `diffapple models` lists those that are here");
    fs::path folder = found->folder;
    for (const auto& model : list_hub_models())
        if (model.snapshot == found->folder) folder = model.repository;
    return {.name = name, .folder = folder, .bytes = size_on_disk(found->folder), .is_demo = found->is_demo()};
}

void remove_model(const Removal& removal) {
    std::error_code error;
    fs::remove_all(removal.folder, error);
    if (error) fail(removal.folder.string(), ": cannot be removed completely: ", error.message());
}

}  // namespace diffapple

#include "diffapple/tools/model_list.h"

#include <algorithm>
#include <sstream>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/io/files.h"
#include "diffapple/io/hub.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/study/study.h"
#include "diffapple/tools/inspect.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

/// A model that an experiment uses.
struct KnownModel {
    std::vector<std::string>
        names;  ///< under which list_checkpoints may find it; the first is shown where it is absent
    std::string command;
    ModelDownload download;
    std::string how_to_get, download_command, note;
    std::optional<StudyFigures> figures;
};

/// Where a copy is found of a model that left the Hub.
std::string note_on_hub(const StudyExperiment& experiment) {
    if (experiment.hub_ids.front().on_hub) return "";
    for (const auto& other : experiment.hub_ids)
        if (other.on_hub) return concat(experiment.model(), " has left the Hub; ", other.id, " is a copy");
    return experiment.model() + " has left the Hub";
}

/// The models of the study, then the demos.
std::vector<KnownModel> known_models() {
    std::vector<KnownModel> known, demos;
    for (const auto& experiment : study_experiments()) {
        KnownModel model{.command = experiment.name,
                         .download = experiment.download,
                         .how_to_get = how_to_get(experiment.model()),
                         .download_command = experiment.download_command(),
                         .note = note_on_hub(experiment),
                         .figures = experiment.figures};
        for (const auto& hub_id : experiment.hub_ids) model.names.push_back(hub_id.id);
        model.names.push_back(experiment.model_folder());
        known.push_back(model);
        if (const auto& demo = experiment.demo)
            demos.push_back({.names = {demo->name},
                             .command = experiment.name,
                             .download = demo->download,
                             .how_to_get = "comes with the program, in models/" + demo->name + "/"});
    }
    known.insert(known.end(), demos.begin(), demos.end());
    return known;
}

/// The size of a folder's files. Links to files count as the file (the Hub's snapshots are made of them); links to
/// folders are not followed.
uint64_t size_on_disk(const fs::path& folder) {
    uint64_t bytes = 0;
    std::error_code error;
    if (is_file(folder)) return fs::file_size(folder, error);
    for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        std::error_code unreadable;
        const bool is_file = entry->is_regular_file(unreadable);
        const uintmax_t size = is_file ? entry->file_size(unreadable) : 0;
        if (is_file && !unreadable) bytes += size;
    }
    return bytes;
}

constexpr std::string_view card_blanks = " \t\r\"'";

/// `license:` of the model card's front matter (YAML between two lines of three dashes).
std::string licence_of(const fs::path& folder) {
    constexpr uintmax_t max_card_bytes = 4 << 20;
    const fs::path card = folder / "README.md";
    std::error_code ignored;
    if (!fs::is_regular_file(card, ignored) || fs::file_size(card, ignored) > max_card_bytes) return "";
    std::istringstream lines(read_file(card, max_card_bytes));
    std::string line;
    if (!std::getline(lines, line) || trimmed(line, card_blanks) != "---") return "";
    while (std::getline(lines, line) && trimmed(line, card_blanks) != "---")
        if (line.starts_with("license:"))
            return std::string(trimmed(line.substr(std::string("license:").size()), card_blanks));
    return "";
}

/// What tells apart the UNets that the experiments take.
struct UNetKind {
    std::string class_name;
    bool text_time = false, inpaints = false;
    bool operator==(const UNetKind&) const = default;
};

UNetKind kind_of(const nlohmann::json& unet_config, const std::string& where) {
    UNetKind kind{.class_name = config_class_name(unet_config)};
    if (kind.class_name != "UNet2DConditionModel") return kind;
    const auto config = UNet2DConditionConfig::from_json(JsonFields(unet_config, where));
    kind.text_time = config.text_time.has_value();
    kind.inpaints = config.in_channels > config.out_channels;
    return kind;
}

/// The command that runs a model with this UNet: that of the experiment whose own model has a UNet of the same kind. A
/// model whose config cannot be read is run by none.
std::string command_for(const Checkpoint& checkpoint) {
    try {
        const Component unet = checkpoint.component("unet");
        const UNetKind kind = kind_of(unet.config, unet.where());
        for (const auto& experiment : study_experiments())
            if (kind == kind_of(parse_json(experiment.config("unet"), experiment.name), experiment.name))
                return experiment.name;
        return "";
    } catch (const Error&) {
        return "";
    }
}

/// Of a folder that holds no model at all, everything.
std::vector<std::string> find_missing(const Checkpoint& checkpoint) {
    try {
        return missing_components(checkpoint);
    } catch (const Error&) {
        return {"all components"};
    }
}

ModelEntry describe(const Checkpoint& checkpoint) {
    return {.name = checkpoint.name,
            .command = command_for(checkpoint),
            .found = true,
            .folder = checkpoint.place(),
            .bytes = size_on_disk(checkpoint.place()),
            .licence = licence_of(checkpoint.place()),
            .missing = find_missing(checkpoint)};
}

bool is_known_as(const KnownModel& known, const ModelEntry& entry) {
    return std::find(known.names.begin(), known.names.end(), entry.name) != known.names.end();
}

}  // namespace

std::vector<ModelEntry> list_models() {
    std::vector<ModelEntry> found;
    for (const auto& checkpoint : list_checkpoints()) found.push_back(describe(checkpoint));
    std::vector<ModelEntry> entries;
    for (const auto& known : known_models()) {
        const auto others = std::stable_partition(found.begin(), found.end(),
                                                  [&](const ModelEntry& entry) { return is_known_as(known, entry); });
        if (others == found.begin())
            entries.push_back({.name = known.names.front(),
                               .command = known.command,
                               .bytes = known.download.bytes,
                               .licence = known.download.licence,
                               .how_to_get = known.how_to_get,
                               .download_command = known.download_command,
                               .note = known.note,
                               .figures = known.figures});
        for (auto entry = found.begin(); entry != others; ++entry) {
            if (entry->licence.empty()) entry->licence = known.download.licence;
            if (!entry->missing.empty()) {
                entry->how_to_get = known.how_to_get;
                entry->download_command = known.download_command;
            }
            entry->note = known.note;
            entry->figures = known.figures;
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
    Removal removal{.name = name, .folder = found->place(), .blob = {}};
    removal.bytes = size_on_disk(found->place());
    removal.is_demo = found->is_demo();
    for (const auto& model : list_hub_models()) {
        if (model.snapshot == found->place()) removal.folder = model.repository;
        if (model.snapshot != found->place().parent_path()) continue;
        const fs::path blob = fs::weakly_canonical(found->place());
        if (blob.parent_path() == fs::weakly_canonical(model.repository / "blobs")) removal.blob = blob;
    }
    return removal;
}

void remove_model(const Removal& removal) {
    std::error_code error;
    if (!removal.blob.empty()) fs::remove(removal.blob, error);
    if (!error) fs::remove_all(removal.folder, error);
    if (error) fail(removal.folder.string(), ": cannot be removed completely: ", error.message());
}

}  // namespace diffapple

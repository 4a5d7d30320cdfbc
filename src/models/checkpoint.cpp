#include "diffapple/models/checkpoint.h"

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include <algorithm>
#include <array>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/files.h"
#include "diffapple/io/hub.h"
#include "diffapple/io/json_fields.h"

namespace diffapple {

namespace fs = std::filesystem;

namespace {

fs::path program_folder() {
    std::error_code error;
#ifdef __APPLE__
    std::array<char, 4096> buffer{};
    uint32_t size = buffer.size();
    const fs::path program = _NSGetExecutablePath(buffer.data(), &size) == 0 ? buffer.data() : "";
#else
    const fs::path program = "/proc/self/exe";
#endif
    const fs::path resolved = fs::canonical(program, error);
    if (error && error != std::errc::no_such_file_or_directory)  // a system without /proc
        fail("cannot find the folder of the program itself: ", error.message());
    return resolved.parent_path();
}

bool is_model_folder(const fs::path& folder) {
    return is_file(folder / "model_index.json") || is_file(folder / "config.json") ||
           is_file(folder / "unet" / "config.json");
}

Checkpoint open_folder(const fs::path& folder, const std::string& name) {
    if (!is_model_folder(folder))
        fail("--model ", name, ": ", folder.string(),
             " is no model folder: it has neither model_index.json nor config.json (diffusers layout)");
    return {.name = name, .folder = folder};
}

/// `name`: "" for the file's own.
Checkpoint open_single_file(const fs::path& path, const std::string& name = "") {
    if (!is_single_file_name(path))
        fail("--model ", path.string(), ": is a file, but none of weights (", join(single_file_extensions(), ", "),
             ")");
    const auto file = std::make_shared<const SingleFile>(path);
    return {.name = name.empty() ? file->name() : valid_utf8(name), .folder = {}, .file = file};
}

/// The single file of a name, which has no extension.
std::optional<fs::path> single_file_named(const fs::path& name) {
    for (const std::string& extension : single_file_extensions())
        if (const fs::path file = name.string() + extension; is_file(file)) return file;
    return std::nullopt;
}

/// The last part of a folder's path, also for "x/" and ".".
std::string folder_name(const fs::path& folder) {
    std::error_code error;
    const fs::path absolute = fs::canonical(folder, error);
    if (error) fail("--model ", folder.string(), ": cannot find the folder's name: ", error.message());
    const std::string name = absolute.filename().string();
    return name.empty() ? "model" : valid_utf8(name);
}

std::vector<fs::path> sorted_subfolders(const fs::path& folder) {
    std::vector<fs::path> found;
    if (!is_folder(folder)) return found;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
        if (is_folder(entry->path())) found.push_back(entry->path());
    if (error) fail(folder.string(), ": cannot list its folders: ", error.message());
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

std::string Component::where() const {
    const fs::path parent = config_file.parent_path();
    return parent.filename() == name ? name + "/config.json" : "config.json";
}

WeightFiles Component::weights(bool prefer_half) const {
    if (file) return {{file->path()}, {}};
    // Configs of transformers need not say whose they are; what has a text or a picture as input is theirs.
    const bool of_transformers = config.contains("architectures") || config.contains("model_type") ||
                                 name.starts_with("text_encoder") || name == "safety_checker";
    return find_weight_files(folder, of_transformers ? "model" : "diffusion_pytorch_model", prefer_half);
}

StoredTensors Component::open(bool prefer_half) const {
    return file ? file->tensors(name, config) : open_weights(weights(prefer_half));
}

ClipTokenizer TokenizerSource::open() const {
    return texts.empty() ? ClipTokenizer::from_folder(folder) : ClipTokenizer::from_texts(texts, folder.string());
}

namespace {

/// Whether weights lie in the folder; which ones are meant, and whether they are whole, is found out later.
bool holds_weights(const fs::path& folder) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        const fs::path extension = entry->path().extension();
        if (extension == ".safetensors" || extension == ".bin") return true;
    }
    return false;
}

/// How a user gives what a single file does not hold.
std::string advice_on_missing(const std::string& component) {
    if (component == "vae") return "give one with --vae FILE (or DIR)";
    return concat(
        "give a file that holds it, or, with --config, a model in diffusers layout (its folder, name or Hub id) "
        "that has it");
}

}  // namespace

fs::path Checkpoint::place() const {
    return file ? file->path() : folder;
}

std::optional<nlohmann::json> Checkpoint::read(const std::string& relative_path) const {
    if (file && folder.empty()) {
        const auto configs = file->kind().configs;
        const auto found = configs.find(relative_path);
        return found == configs.end() ? std::nullopt : std::optional(found->second);
    }
    return is_file(folder / relative_path) ? std::optional(read_json_file(folder / relative_path)) : std::nullopt;
}

Component Checkpoint::component(const std::string& component_name) const {
    if (const auto other = swapped.find(component_name); other != swapped.end()) return other->second;
    fs::path component_folder = folder / component_name;
    const bool root_layout = !(file && folder.empty()) && !is_folder(component_folder) && component_name == "unet" &&
                             is_file(folder / "config.json");
    if (root_layout) component_folder = folder;
    Component found{
        .name = component_name, .config_file = component_folder / "config.json", .folder = component_folder};
    const auto config = read(root_layout ? "config.json" : component_name + "/config.json");
    if (!config) {
        if (!uses(component_name))
            fail("model ", name, ": has no ", component_name, " (its model_index.json, of ",
                 valid_utf8(pipeline_class()), ", names none); models without it are not supported");
        fail("model ", name, ": its ", component_name, " is missing (no ", component_name, "/config.json in ",
             folder.string(), "); download the model again, or give another --model");
    }
    found.config = *config;
    if (!file) return found;
    if (file->has(component_name))
        found.file = file;
    else if (folder.empty() || !holds_weights(component_folder))
        fail(file->path().string(), ": holds no ", component_name, " (no tensor begins with ",
             SingleFile::beginning_of(component_name), "); ", advice_on_missing(component_name));
    return found;
}

TokenizerSource Checkpoint::tokenizer(const std::string& tokenizer_name) const {
    if (!file || is_folder(folder / tokenizer_name)) return {.folder = folder / tokenizer_name, .texts = {}};
    // Configs of other models of the same kind tell which of CLIP's tokenizers it is; without them, the file does.
    const std::string pad = file->kind().pads.at(tokenizer_name);
    return {.folder = concat(file->path().string(), ": ", tokenizer_name), .texts = clip_tokenizer_files(pad)};
}

std::vector<std::string> Checkpoint::component_names() const {
    std::vector<std::string> names;
    if (file) {
        for (const std::string component : {"text_encoder", "text_encoder_2", "unet", "vae"})
            if (file->has(component) || swapped.contains(component) || holds_weights(folder / component))
                names.push_back(component);
        return names;
    }
    for (const auto& subfolder : sorted_subfolders(folder))
        if (is_file(subfolder / "config.json")) names.push_back(subfolder.filename().string());
    if (names.empty() && is_file(folder / "config.json")) names.emplace_back("unet");
    return names;
}

namespace {

/// A VAE's own folder, or a model's that has one.
Component open_vae_folder(const fs::path& folder) {
    for (const fs::path& place : {folder / "vae", folder})
        if (is_file(place / "config.json") && (place != folder || !is_folder(folder / "unet"))) {
            Component vae{.name = "vae", .config_file = place / "config.json", .folder = place};
            vae.config = read_json_file(vae.config_file);
            return vae;
        }
    fail("--vae ", folder.string(), ": holds neither config.json nor vae/config.json");
}

/// What --config means: a folder, or the name of a model that is one.
fs::path find_config_folder(const std::string& config) {
    if (is_folder(config) && is_model_folder(config)) return config;
    const auto named = is_folder(config) ? std::nullopt : find_named_checkpoint(config);
    if (!named || named->file)
        fail("--config ", config, ": is no folder in diffusers layout (with unet/config.json), and no name of one");
    return named->folder;
}

}  // namespace

Checkpoint Checkpoint::with(const OtherParts& parts) const {
    Checkpoint result = *this;
    if (!parts.config.empty()) {
        if (!file)
            fail_usage("--config: is for a model in a single file; ", name, " is a folder, which has its own configs");
        result.folder = find_config_folder(parts.config);
    }
    if (parts.vae.empty()) return result;
    if (is_folder(parts.vae)) {
        result.swapped["vae"] = open_vae_folder(parts.vae);
        return result;
    }
    if (!is_file(parts.vae)) fail("--vae ", parts.vae, ": there is no such file or folder");
    const auto other = std::make_shared<const SingleFile>(parts.vae);
    if (!other->has("vae"))
        fail("--vae ", parts.vae, ": holds no VAE (no tensor begins with ", SingleFile::beginning_of("vae"), ")");
    const auto config = result.read("vae/config.json");
    if (!config) fail("--vae ", parts.vae, ": belongs to a model with a VAE, which ", name, " has not");
    result.swapped["vae"] = {.name = "vae", .config_file = "vae/config.json", .config = *config, .file = other};
    return result;
}

std::optional<nlohmann::json> Checkpoint::index() const {
    return read("model_index.json");
}

/// Of a pipeline with code of its own, the index names a file and a class.
std::string Checkpoint::pipeline_class() const {
    const auto all = index();
    if (!all || !all->contains("_class_name")) return "";
    const auto& name = all->at("_class_name");
    const auto& text = name.is_array() && !name.empty() ? name.back() : name;
    return text.is_string() ? text.get<std::string>() : "";
}

std::optional<std::string> Checkpoint::class_in_index(const std::string& component_name) const {
    const auto all = index();
    if (!all) return std::nullopt;
    const auto entry = all->find(component_name);
    const bool named = entry != all->end() && entry->is_array() && entry->size() == 2 && entry->at(1).is_string();
    return named ? std::optional(entry->at(1).get<std::string>()) : std::nullopt;
}

bool Checkpoint::uses(const std::string& component_name) const {
    return !index() || class_in_index(component_name);
}

namespace {

/// Pipelines that make a scheduler of one class of whatever they are given.
std::optional<std::string> scheduler_class_of(const std::string& pipeline_class) {
    if (pipeline_class == "DDIMPipeline") return "DDIMScheduler";
    if (pipeline_class == "PNDMPipeline") return "PNDMScheduler";
    return std::nullopt;
}

}  // namespace

nlohmann::json Checkpoint::scheduler_config() const {
    for (const std::string file_name : {"scheduler/scheduler_config.json", "scheduler_config.json"}) {
        auto config = read(file_name);
        if (!config) continue;
        if (const auto of_pipeline = scheduler_class_of(pipeline_class()))
            (*config)["_class_name"] = *of_pipeline;
        else if (const auto in_index = class_in_index("scheduler"))
            (*config)["_class_name"] = *in_index;
        return *config;
    }
    fail("model ", name, ": its scheduler is missing (no scheduler/scheduler_config.json in ", folder.string(),
         "); download the model again, or give another --model");
}

bool Checkpoint::is_demo() const {
    const auto& experiments = study_experiments();
    return std::any_of(experiments.begin(), experiments.end(), [&](const StudyExperiment& experiment) {
        return experiment.demo && experiment.demo->name == name;
    });
}

std::string name_of_place(const fs::path& place) {
    const fs::path named = place.has_filename() ? place : place.parent_path();  // "x/"
    return valid_utf8((is_single_file_name(named) ? named.stem() : named.filename()).string());
}

std::vector<fs::path> model_search_folders() {
    std::vector<fs::path> folders{"models"};
    const fs::path program = program_folder();
    if (!program.empty()) {
        folders.push_back(program.parent_path() / "models");
        folders.push_back(program.parent_path() / "share" / "diffapple" / "models");
    }
    return folders;
}

namespace {

/// The experiment of the study whose model this is; a null pointer for any other model.
const StudyExperiment* find_study_of(const std::string& hub_id) {
    for (const auto& experiment : study_experiments())
        if (experiment.has_hub_id(hub_id)) return &experiment;
    return nullptr;
}

/// The shortest folder under models/ that a model may lie in: the study's models may leave out their organisation,
/// whose name another model of the Hub could differ in.
std::string shortest_place(const std::string& model) {
    const StudyExperiment* const study = find_study_of(model);
    return study ? study->model_folder() : model;
}

/// Where a model of this name may lie under models/.
std::vector<fs::path> folders_named(const std::string& model) {
    const fs::path name(model);
    const bool plain = name.is_relative() && std::none_of(name.begin(), name.end(), [](const fs::path& part) {
                           return part == ".." || part == ".";
                       });
    std::vector<fs::path> folders;
    if (!plain) return folders;
    for (const auto& models : model_search_folders()) {
        folders.push_back(models / name);
        folders.push_back(models / shortest_place(model));
    }
    return folders;
}

}  // namespace

std::optional<Checkpoint> find_checkpoint(const std::string& model) {
    if (model.empty()) fail_usage("--model: the name is empty");
    if (is_folder(model)) return open_folder(model, folder_name(model));
    if (is_file(model)) return open_single_file(model);
    return find_named_checkpoint(model);
}

std::optional<Checkpoint> find_named_checkpoint(const std::string& name) {
    for (const auto& folder : folders_named(name)) {
        if (is_model_folder(folder)) return Checkpoint{.name = valid_utf8(name), .folder = folder};
        if (const auto file = single_file_named(folder)) return open_single_file(*file);
    }
    if (const auto snapshot = find_hub_snapshot(name)) return open_folder(*snapshot, name);
    if (const auto file = find_hub_file(name)) return open_single_file(*file, name);
    return std::nullopt;
}

std::string describe_search() {
    std::vector<std::string> places;
    for (const auto& folder : model_search_folders()) places.push_back(folder.string());
    for (const auto& folder : hub_cache_folders()) places.push_back(folder.string());
    return concat(" (looked in ", join(places, ", "), ")");
}

namespace {

/// "org/name@revision" is one revision of a model, "org/name@revision/file" a file of it.
std::string download_command(const std::string& hub_id) {
    const size_t at = hub_id.find('@');
    if (at == std::string::npos) return "diffapple fetch " + hub_id;
    const size_t end = std::min(hub_id.find('/', at), hub_id.size());
    return concat("diffapple fetch ", hub_id.substr(0, at), hub_id.substr(end), " --revision ",
                  hub_id.substr(at + 1, end - at - 1));
}

}  // namespace

Checkpoint require_checkpoint(const std::string& model) {
    if (auto found = find_checkpoint(model)) return *found;
    const bool is_id = std::count(model.begin(), model.end(), '/') == 1 && model.front() != '/' &&
                       model.front() != '.' && model.back() != '/';
    std::string advice = is_id ? how_to_get(model) : "`diffapple models` lists what is here";
    if (const auto file = parse_hub_file(model); file && is_single_file_name(file->path))
        advice = concat("download it with `", download_command(model), "`");
    fail("--model ", model, ": there is no such folder, no such name under models/, and no such model in the Hub cache",
         describe_search(), "; ", advice);
}

std::optional<Checkpoint> find_study_checkpoint(const StudyExperiment& experiment) {
    for (const auto& known : experiment.hub_ids)
        if (auto found = find_checkpoint(known.id)) return found;
    return experiment.demo ? find_checkpoint(experiment.demo->name) : std::nullopt;
}

Checkpoint require_study_checkpoint(const StudyExperiment& experiment) {
    if (auto found = find_study_checkpoint(experiment)) return *found;
    return require_checkpoint(experiment.model());  // says how to get it
}

std::string how_to_get(const std::string& hub_id) {
    const StudyExperiment* const study = find_study_of(hub_id);
    const std::string size = study ? concat(" (", format_bytes(study->download.bytes), ")") : "";
    return concat("download it with `", study ? study->download_command() : download_command(hub_id), "`", size,
                  ", or put its files into models/", shortest_place(hub_id), "/");
}

namespace {

/// The checkpoints of a folder's single files; what is none of this program's models is left out. `id`: of the Hub's
/// model whose folder it is; "": none.
std::vector<Checkpoint> single_files_in(const fs::path& folder, const std::string& id = "") {
    std::vector<Checkpoint> found;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) try {
            if (!is_single_file_name(entry->path()) || !is_file(entry->path())) continue;
            const std::string name = id.empty() ? "" : concat(id, "/", entry->path().filename().string());
            Checkpoint checkpoint = open_single_file(entry->path(), name);
            checkpoint.file->kind();
            found.push_back(std::move(checkpoint));
        } catch (const Error&) {
            continue;
        }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return found;
}

}  // namespace

std::vector<Checkpoint> list_checkpoints() {
    std::vector<Checkpoint> found;
    std::vector<fs::path> seen;
    const auto add_new = [&](Checkpoint checkpoint) {
        const fs::path resolved = fs::canonical(checkpoint.place());
        if (std::find(seen.begin(), seen.end(), resolved) != seen.end()) return;
        seen.push_back(resolved);
        found.push_back(std::move(checkpoint));
    };
    const auto add = [&](const fs::path& folder, const std::string& name) {
        if (is_model_folder(folder)) add_new({.name = name, .folder = folder});
    };
    for (const auto& models : model_search_folders()) {
        for (auto& checkpoint : single_files_in(models)) add_new(std::move(checkpoint));
        for (const auto& folder : sorted_subfolders(models)) {
            add(folder, folder.filename().string());
            if (is_model_folder(folder)) continue;
            for (const auto& nested : sorted_subfolders(folder))
                add(nested, folder.filename().string() + "/" + nested.filename().string());
        }
    }
    for (const auto& model : list_hub_models()) {
        add(model.snapshot, model.id);
        if (is_model_folder(model.snapshot)) continue;
        for (auto& checkpoint : single_files_in(model.snapshot, model.id)) add_new(std::move(checkpoint));
    }
    return found;
}

}  // namespace diffapple

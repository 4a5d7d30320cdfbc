#include "diffapple/recipes/output_names.h"

#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/sha256.h"

namespace diffapple {
namespace {

constexpr size_t max_name_bytes = 100;

bool is_refused(unsigned char c) {
    return c < 0x20 || c == 0x7f || std::strchr("/\\:*?\"<>|", c) != nullptr;
}

std::string cut(const std::string& name, const std::string& original, size_t most_bytes = max_name_bytes) {
    const std::string ending = concat('-', sha256(original).substr(0, 8));
    return std::string(cut_utf8(name, most_bytes - ending.size())) + ending;
}

/// Of any length.
std::string replaced(const std::string& text) {
    std::string name;
    for (const char c : text) name += c == ' ' ? '_' : is_refused(static_cast<unsigned char>(c)) ? '-' : c;
    // Windows drops a trailing dot; "", "." and ".." are no names, and a leading dot hides the folder.
    if (name.empty()) name = "-";
    if (name.front() == '.') name.front() = '-';
    if (name.back() == '.') name.back() = '-';
    return name;
}

}  // namespace

std::string safe_name(const std::string& text) {
    const std::string name = replaced(text);
    return name.size() > max_name_bytes ? cut(name, text) : name;
}

namespace {

/// What a file system that ignores case and how accents are composed takes for the same name.
std::string folded(const std::string& name) {
    utf8proc_uint8_t* mapped = nullptr;
    const auto options =
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
    const auto bytes = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(name.data()),
                                    static_cast<utf8proc_ssize_t>(name.size()), &mapped, options);
    const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(mapped, std::free);
    return bytes < 0 ? name : std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(bytes));
}

/// Whether a character of the prompt was replaced by one that another prompt may have there. Spaces do not count: whole
/// sentences have them, and a prompt with '_' in its place is told apart where the two meet.
bool loses_characters(const std::string& prompt) {
    std::string name = prompt;
    std::replace(name.begin(), name.end(), ' ', '_');
    return name != replaced(prompt);
}

/// Whether another prompt of the batch had the same folder in earlier versions.
bool shared_older_folder(const BatchSettings& batch, int64_t index) {
    const auto folder = [](const std::string& prompt) { return lower_ascii(safe_name(prompt)); };
    const std::string own = folder(batch.prompt_of(index));
    return std::count_if(batch.prompts.begin(), batch.prompts.end(),
                         [&](const std::string& prompt) { return folder(prompt) == own; }) > 1;
}

std::string study_name(const BatchSettings& batch, int64_t index, StemStyle style, Naming naming) {
    const bool shares_folder = naming == Naming::older
                                   ? shared_older_folder(batch, index)
                                   : std::count(batch.prompts.begin(), batch.prompts.end(), batch.prompt_of(index)) > 1;
    const bool with_index = style != StemStyle::steps_guidance || batch.batch_size > 1 || shares_folder;
    std::string name = concat("seed", batch.seed);
    if (with_index) name += concat("_i", index);
    name += concat("_n", batch.steps);
    if (batch.guidance) name += "_s" + python_float(*batch.guidance);
    return name;
}

std::string prompt_folder(const std::string& prompt, const Circumstances& now, Naming naming) {
    if (naming == Naming::older) return safe_name(prompt);
    const bool meets = now.meeting_prompts && now.meeting_prompts->contains(prompt);
    const std::string name = replaced(prompt);
    const bool with_hash = naming == Naming::apart || meets || loses_characters(prompt) || name.size() > max_name_bytes;
    return with_hash ? cut(name, prompt) : name;
}

/// File systems take 255 bytes; what is put beside a picture has a longer name.
std::string file_name(const std::string& name) {
    constexpr size_t most_bytes = 200;
    return name.size() > most_bytes ? cut(name, name, most_bytes) : name;
}

}  // namespace

std::set<std::string> find_meeting_prompts(const std::vector<std::string>& prompts) {
    std::map<std::string, std::set<std::string>> by_folder;
    for (const std::string& prompt : prompts) by_folder[folded(replaced(prompt))].insert(prompt);
    std::set<std::string> meeting;
    for (const auto& [folder, texts] : by_folder)
        if (texts.size() > 1) meeting.insert(texts.begin(), texts.end());
    return meeting;
}

std::filesystem::path picture_path(const std::filesystem::path& out, const BatchSettings& batch, int64_t index,
                                   const Circumstances& circumstances, Naming naming) {
    const StudyExperiment& experiment = circumstances.experiment;
    std::string name = study_name(batch, index, experiment.stem, naming);
    const bool as_older = naming == Naming::older || (naming == Naming::study && experiment.inpaints);
    for (const Setting& row : settings()) {
        if (!row.suffix || !row.applies_to(experiment)) continue;
        const auto& part = as_older && row.older_suffix ? row.older_suffix : row.suffix;
        if (const std::string suffix = part(batch, circumstances); !suffix.empty()) name += "_" + suffix;
    }
    if (naming != Naming::older) name = file_name(name);
    const std::string prompt =
        experiment.has_prompts() ? prompt_folder(batch.prompt_of(index), circumstances, naming) : "uncond";
    return out / (experiment.output_folder + (circumstances.is_demo ? "_demo" : "")) / prompt /
           concat(name, '.', naming == Naming::older ? "png" : circumstances.format);
}

std::filesystem::path comparison_path(const std::filesystem::path& picture) {
    return picture.parent_path() / (picture.stem().string() + "_comp" + picture.extension().string());
}

std::filesystem::path preview_path(const std::filesystem::path& picture) {
    return picture.parent_path().parent_path() / preview_name;
}

}  // namespace diffapple

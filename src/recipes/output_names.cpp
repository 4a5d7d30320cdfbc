#include "diffapple/recipes/output_names.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/sha256.h"

namespace diffapple {
namespace {

constexpr size_t max_name_bytes = 100;

bool is_refused(unsigned char c) {
    return c < 0x20 || c == 0x7f || std::strchr("/\\:*?\"<>|", c) != nullptr;
}

std::string cut(const std::string& name, const std::string& original) {
    const std::string ending = concat('-', sha256(original).substr(0, 8));
    return std::string(cut_utf8(name, max_name_bytes - ending.size())) + ending;
}

}  // namespace

std::string safe_name(const std::string& text) {
    std::string name;
    for (const char c : text) name += c == ' ' ? '_' : is_refused(static_cast<unsigned char>(c)) ? '-' : c;
    // Windows drops a trailing dot; "", "." and ".." are no names, and a leading dot hides the folder.
    if (name.empty()) name = "-";
    if (name.front() == '.') name.front() = '-';
    if (name.back() == '.') name.back() = '-';
    return name.size() > max_name_bytes ? cut(name, text) : name;
}

namespace {

/// Whether another prompt of the batch has the same folder; for file systems that ignore case, "A" is "a".
bool shares_folder(const BatchSettings& batch, int64_t index) {
    const auto folder = [](const std::string& prompt) {
        std::string name = safe_name(prompt);
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
        return name;
    };
    const std::string own = folder(batch.prompt_of(index));
    return std::count_if(batch.prompts.begin(), batch.prompts.end(),
                         [&](const std::string& prompt) { return folder(prompt) == own; }) > 1;
}

std::string study_name(const BatchSettings& batch, int64_t index, StemStyle style) {
    const bool with_index = style != StemStyle::steps_guidance || batch.batch_size > 1 || shares_folder(batch, index);
    std::string name = concat("seed", batch.seed);
    if (with_index) name += concat("_i", index);
    name += concat("_n", batch.steps);
    if (batch.guidance) name += "_s" + python_float(*batch.guidance);
    return name;
}

}  // namespace

std::filesystem::path picture_path(const std::filesystem::path& out, const BatchSettings& batch, int64_t index,
                                   const Circumstances& circumstances) {
    const StudyExperiment& experiment = circumstances.experiment;
    std::string name = study_name(batch, index, experiment.stem);
    for (const Setting& row : settings()) {
        if (!row.suffix || !row.applies_to(experiment)) continue;
        if (const std::string suffix = row.suffix(batch, circumstances); !suffix.empty()) name += "_" + suffix;
    }
    const std::string prompt = experiment.has_prompts() ? safe_name(batch.prompt_of(index)) : "uncond";
    return out / (experiment.output_folder + (circumstances.is_demo ? "_demo" : "")) / prompt / (name + ".png");
}

std::filesystem::path comparison_path(const std::filesystem::path& picture) {
    return picture.parent_path() / (picture.stem().string() + "_comp.png");
}

}  // namespace diffapple

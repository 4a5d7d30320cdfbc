// Schedulers by name: one row of the table for each.
#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/schedulers/scheduler.h"
#include "sigma_schedule.h"

namespace diffapple {

/// Makes a sampler from a scheduler's config; defined in the sampler's own file. Errors as of make_scheduler.
using MakeScheduler = std::unique_ptr<Scheduler>(const JsonFields& config, const SchedulerRequest& request);
MakeScheduler make_ddpm, make_ddim, make_pndm, make_dpm_solver_multistep, make_dpm_solver_singlestep, make_euler,
    make_euler_ancestral, make_heun, make_lms, make_unipc, make_lcm;

namespace {

/// An option that not all samplers read.
enum class Reads { nothing_special, eta, sigma_spacing };

struct Entry {
    const char* name;        ///< on the command line
    const char* class_name;  ///< in scheduler_config.json
    const char* a1111_name;
    MakeScheduler* make;
    Reads reads = Reads::nothing_special;
    const char* comfyui_name = "";
};

const std::vector<Entry>& entries() {
    static const std::vector<Entry> all{
        {"ddpm", "DDPMScheduler", "DDPM", make_ddpm},
        {"ddim", "DDIMScheduler", "DDIM", make_ddim, Reads::eta},
        {"pndm", "PNDMScheduler", "PLMS", make_pndm},
        {"dpmsolver++", "DPMSolverMultistepScheduler", "DPM++ 2M", make_dpm_solver_multistep, Reads::sigma_spacing,
         "dpmpp_2m"},
        {"dpmsolver++-single", "DPMSolverSinglestepScheduler", "DPM++ 2S", make_dpm_solver_singlestep,
         Reads::sigma_spacing},
        {"euler", "EulerDiscreteScheduler", "Euler", make_euler, Reads::sigma_spacing},
        {"euler-a", "EulerAncestralDiscreteScheduler", "Euler a", make_euler_ancestral, Reads::nothing_special,
         "euler_ancestral"},
        {"heun", "HeunDiscreteScheduler", "Heun", make_heun, Reads::sigma_spacing},
        {"lms", "LMSDiscreteScheduler", "LMS", make_lms, Reads::sigma_spacing},
        {"unipc", "UniPCMultistepScheduler", "UniPC", make_unipc, Reads::sigma_spacing},
        {"lcm", "LCMScheduler", "LCM", make_lcm},
    };
    return all;
}

/// Classes that this program lacks, but whose models others sample as well: they were trained on the same schedule of
/// noise. Others (EDM, Karras VE, consistency models, flow matching) make the model see noise that it does not know.
constexpr std::string_view replaceable_classes[] = {
    "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DEISMultistepScheduler", "DPMSolverSDEScheduler",
    "DDIMParallelScheduler",  "DDPMParallelScheduler",           "SASolverScheduler"};

const Entry& find_entry(const std::string& name) {
    for (const auto& entry : entries())
        if (name == entry.name) return entry;
    fail_usage("--scheduler '", name, "' is unknown; use ", join(scheduler_names(), ", "));
}

/// Names differ in blanks, hyphens, underscores and case alone.
std::string plain(const std::string& name) {
    std::string letters;
    for (const char c : name)
        if (c != ' ' && c != '-' && c != '_') letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return letters;
}

}  // namespace

std::vector<std::string> scheduler_names() {
    std::vector<std::string> names;
    for (const auto& entry : entries()) names.emplace_back(entry.name);
    return names;
}

std::optional<std::string> scheduler_called(const std::string& name) {
    const std::string wanted = plain(name);
    for (const auto& entry : entries()) {
        const std::string class_name = plain(entry.class_name), suffix = "scheduler";
        for (const std::string& known :
             {plain(entry.name), class_name, plain(entry.a1111_name), plain(entry.comfyui_name),
              class_name.substr(0, class_name.size() - suffix.size())})
            if (!wanted.empty() && wanted == known) return entry.name;
    }
    return std::nullopt;
}

std::optional<std::string> find_scheduler_name(const nlohmann::json& config, const std::string& where) {
    const std::string class_name = JsonFields(config, where).text("_class_name", "");
    for (const auto& entry : entries())
        if (class_name == entry.class_name) return entry.name;
    return std::nullopt;
}

std::string scheduler_name(const nlohmann::json& config, const std::string& where) {
    if (const auto name = find_scheduler_name(config, where)) return *name;
    const JsonFields fields(config, where);
    std::vector<std::string> known;
    for (const auto& entry : entries()) known.emplace_back(entry.class_name);
    const std::string class_name = fields.text("_class_name");
    const bool replaceable = std::find(std::begin(replaceable_classes), std::end(replaceable_classes), class_name) !=
                             std::end(replaceable_classes);
    fields.reject("_class_name", concat("is '", class_name, "', which this program does not have; it has ",
                                        join(known, ", "), replaceable ? " (choose one with --scheduler)" : ""));
}

std::string a1111_sampler_name(const std::string& name, const nlohmann::json& config) {
    const Entry& entry = find_entry(name);
    std::string text = entry.a1111_name;
    if (entry.reads != Reads::sigma_spacing) return text;
    switch (read_sigma_spacing(JsonFields(config, "scheduler"))) {
        case SigmaSpacing::karras:
            return text + " Karras";
        case SigmaSpacing::exponential:
            return text + " Exponential";
        case SigmaSpacing::beta:
            return text + " Beta";
        default:
            return text;
    }
}

bool scheduler_reads_eta(const std::string& name) {
    return find_entry(name).reads == Reads::eta;
}

std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& config,
                                          const std::string& where, const SchedulerRequest& request) {
    if (!(request.eta >= 0 && request.eta <= 1)) fail_usage("--eta ", request.eta, ": must be from 0 to 1");
    return find_entry(name).make(JsonFields(config, where), request);
}

}  // namespace diffapple

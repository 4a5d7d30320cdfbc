#include "diffapple/pipelines/scheduler_repairs.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

namespace diffapple {
namespace {

using nlohmann::json;

enum class Where { without_mask, with_mask, everywhere };

struct Repair {
    Where where;
    const char* key;
    json wanted;
    std::vector<std::string> wrong_by_default;  ///< samplers whose class has the key, with another value
};

const std::vector<Repair>& repairs() {
    static const std::vector<Repair> all{
        {Where::everywhere,
         "steps_offset",
         1,
         {"ddpm", "ddim", "pndm", "dpmsolver++", "euler", "euler-a", "heun", "lms", "unipc", "lcm"}},
        {Where::without_mask, "clip_sample", false, {"ddpm", "ddim"}},
        {Where::with_mask, "skip_prk_steps", true, {"pndm"}},
    };
    return all;
}

bool is_of(const Repair& repair, const SchedulerUse& use) {
    return repair.where == Where::everywhere || (repair.where == Where::with_mask) == use.inpaints;
}

/// Of true and false, diffusers asks for the wrong one ("is True"), so that null stays; of numbers, for the right one.
bool is_wrong(const Repair& repair, const json& value) {
    return repair.wanted.is_boolean() ? value == !repair.wanted.get<bool>() : value != repair.wanted;
}

bool is_wrong_by_default(const Repair& repair, const SchedulerUse& use) {
    const auto& names = repair.wrong_by_default;
    return !use.swapped && use.own == use.chosen && std::find(names.begin(), names.end(), use.chosen) != names.end();
}

}  // namespace

namespace {

/// A value that a class replaces when it is made.
struct Replacement {
    std::vector<std::string> classes;
    const char* key;
    std::vector<std::string> foreign;
    const char* own;
};

const std::vector<Replacement>& replacements() {
    static const std::vector<Replacement> all{
        {{"dpmsolver++", "dpmsolver++-single"}, "solver_type", {"logrho", "bh1", "bh2"}, "midpoint"},
        {{"dpmsolver++", "dpmsolver++-single"}, "algorithm_type", {"deis"}, "dpmsolver++"},
        {{"unipc"}, "solver_type", {"midpoint", "heun", "logrho"}, "bh2"},
    };
    return all;
}

bool contains(const std::vector<std::string>& texts, const json& value) {
    return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) { return value == text; });
}

}  // namespace

json config_for_other_class(json config, const SchedulerUse& use) {
    if (!use.own || *use.own == use.chosen) return config;
    for (const Replacement& replacement : replacements()) {
        const auto given = config.find(replacement.key);
        if (given != config.end() && contains(replacement.classes, *use.own) && contains(replacement.foreign, *given))
            *given = replacement.own;
    }
    return config;
}

json repair_scheduler_config(json config, const SchedulerUse& use) {
    for (const Repair& repair : repairs()) {
        if (!is_of(repair, use)) continue;
        const auto given = config.find(repair.key);
        if (given == config.end() ? is_wrong_by_default(repair, use) : is_wrong(repair, *given))
            config[repair.key] = repair.wanted;
    }
    return config;
}

}  // namespace diffapple

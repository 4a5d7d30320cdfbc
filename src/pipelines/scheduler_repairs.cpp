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

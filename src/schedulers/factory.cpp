// Schedulers by name: one line for each.
#include <functional>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/schedulers/ddpm.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {
namespace {

struct Entry {
    const char* name;        ///< on the command line
    const char* class_name;  ///< in scheduler_config.json
    std::function<std::unique_ptr<Scheduler>(const JsonFields&, int64_t steps)> make;
};

template <typename T>
std::unique_ptr<Scheduler> make(const JsonFields& config, int64_t steps) {
    return std::make_unique<T>(config, steps);
}

const std::vector<Entry>& entries() {
    static const std::vector<Entry> all{
        {"ddpm", "DDPMScheduler", make<DDPMScheduler>},
    };
    return all;
}

}  // namespace

std::vector<std::string> scheduler_names() {
    std::vector<std::string> names;
    for (const auto& entry : entries()) names.emplace_back(entry.name);
    return names;
}

std::optional<std::string> find_scheduler_name(const nlohmann::json& config, const std::string& where) {
    const std::string class_name = JsonFields(config, where).text("_class_name");
    for (const auto& entry : entries())
        if (class_name == entry.class_name) return entry.name;
    return std::nullopt;
}

std::string scheduler_name(const nlohmann::json& config, const std::string& where) {
    if (const auto name = find_scheduler_name(config, where)) return *name;
    const JsonFields fields(config, where);
    std::string known;
    for (const auto& entry : entries()) known += (known.empty() ? "" : ", ") + std::string(entry.class_name);
    fields.reject("_class_name",
                  concat("is '", fields.text("_class_name"), "', which this program does not have; it has ", known,
                         " (choose one with --scheduler)"));
}

std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& config,
                                          const std::string& where, int64_t steps) {
    std::string known;
    for (const auto& entry : entries()) {
        if (name == entry.name) return entry.make(JsonFields(config, where), steps);
        known += (known.empty() ? "" : ", ") + std::string(entry.name);
    }
    fail_usage("--scheduler '", name, "' is unknown; use ", known);
}

}  // namespace diffapple

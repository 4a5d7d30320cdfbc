// `diffapple devices`: the devices of this machine and what each precision is good for there.
#include <ATen/Parallel.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/defaults.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/cli/terminal.h"
#include "diffapple/core/device.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/numbers.h"
#include "diffapple/tools/dtype_advice.h"

namespace diffapple {
namespace {

using nlohmann::json;

json optional_bytes(const std::optional<uint64_t>& bytes) {
    return bytes ? json(*bytes) : json();
}

std::string show_bytes(const std::optional<uint64_t>& bytes) {
    return bytes ? format_bytes(*bytes) : "-";
}

json device_to_json(const DeviceInfo& device) {
    json object{{"name", device.name},
                {"available", device.available},
                {"description", device.description},
                {"total_memory", optional_bytes(device.total_memory)},
                {"free_memory", optional_bytes(device.free_memory)},
                {"recommended_memory", optional_bytes(device.recommended_memory)},
                {"dtypes", json::array()}};
    if (!device.available) return object;
    for (const auto& advice : dtype_advice(find_device(device.name)))
        object["dtypes"].push_back({{"dtype", advice.dtype}, {"usable", advice.usable}, {"good_for", advice.good_for}});
    return object;
}

void print_devices_json(const std::vector<DeviceInfo>& devices) {
    json listed = json::array();
    for (const auto& device : devices) listed.push_back(device_to_json(device));
    print_json({{"devices", listed},
                {"auto", device_name(find_device("auto"))},
                {"libtorch", libtorch::version()},
                {"threads", at::get_num_threads()},
                {"cpu_vector_instructions", cpu_vector_instructions()}});
}

void print_devices_table(const std::vector<DeviceInfo>& devices) {
    std::vector<std::vector<std::string>> rows{{"device", "available", "memory", "free", "recommended", ""}};
    std::vector<std::vector<std::string>> advices{{"device", "dtype", "good for"}};
    for (const auto& device : devices) {
        rows.push_back({device.name, device.available ? "yes" : "no", show_bytes(device.total_memory),
                        show_bytes(device.free_memory), show_bytes(device.recommended_memory), device.description});
        if (!device.available) continue;
        for (const auto& advice : dtype_advice(find_device(device.name)))
            advices.push_back({device.name, advice.dtype, advice.good_for});
    }
    const size_t width = terminal_width(STDOUT_FILENO).value_or(SIZE_MAX);
    print_result(wrap_table(rows, width) + "\n\n" + wrap_table(advices, width) + "\n");
    print_result(wrap_words("--device auto means " + device_name(find_device("auto")) + ". LibTorch " +
                                libtorch::version() + ", " + counted(at::get_num_threads(), "thread") + ", " +
                                cpu_vector_instructions() + ".",
                            width, 0));
}

void print_defaults(const CLI::App& app) {
    std::vector<std::vector<std::string>> rows{{"command", "default", "from"}};
    for (const Default& known : find_defaults(app)) {
        std::string option = known.option;
        for (const auto& value : known.values) option += " " + value;
        rows.push_back({known.command, option, known.source});
    }
    print_result("\n" + (rows.size() > 1
                             ? format_table(rows)
                             : "No defaults are set, by DIFFAPPLE_<OPTION> or in " + config_file().string()));
}

}  // namespace

void add_devices_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("devices", "Show this machine's devices, memory and precisions");
    const auto as_json = std::make_shared<bool>(false), verbose = std::make_shared<bool>(false);
    command->add_flag("--json", *as_json, "One JSON object on stdout");
    command->add_flag("-v,--verbose", *verbose, "Also the defaults that are in use, and where they are from");
    add_examples(command, {"devices", "devices --verbose", "devices --json"});
    command->callback([&app, as_json, verbose] {
        const auto devices = list_devices();
        *as_json ? print_devices_json(devices) : print_devices_table(devices);
        if (*verbose && !*as_json) print_defaults(app);
    });
}

}  // namespace diffapple

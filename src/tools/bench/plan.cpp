// The rows of a bench run before anything is measured.
#include <algorithm>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/tools/bench/bench.h"

namespace diffapple {
namespace {

std::vector<std::string> devices_of(const BenchSettings& settings) {
    if (!settings.devices.empty()) return settings.devices;
    std::vector<std::string> names;
    for (const auto& device : list_devices())
        if (device.available) names.push_back(device.name);
    return names;
}

std::vector<std::string> dtypes_of(const BenchSettings& settings, const std::string& device) {
    if (!settings.dtypes.empty()) return settings.dtypes;
    return device == "cpu" ? std::vector<std::string>{"fp32", "bf16"}
                           : std::vector<std::string>{"fp32", "fp16", "bf16"};
}

void check_sizes(const BenchSettings& settings, const BenchExperiment& experiment) {
    for (const int64_t size : settings.sizes)
        if (size % experiment.size_factor != 0)
            fail_usage("--sizes ", size, ": ", experiment.name, " makes sizes that are multiples of ",
                       experiment.size_factor);
}

std::vector<BenchShape> shapes_of(const BenchSettings& settings, const BenchExperiment& experiment) {
    check_sizes(settings, experiment);
    const BenchShape& study = experiment.study_shape;
    const auto batches = settings.batch_sizes.empty() ? std::vector{study.batch_size} : settings.batch_sizes;
    std::vector<BenchShape> shapes;
    for (const int64_t batch : batches) {
        if (settings.sizes.empty()) shapes.push_back({batch, study.size});
        for (const int64_t size : settings.sizes) shapes.push_back({batch, {size, size}});
    }
    return shapes;
}

void refuse(BenchResult& row, BenchStatus status, const std::string& note) {
    row.status = status;
    row.note = note;
}

/// Marks a row that cannot run here. Throws Error (exit code 2) for a device name that means nothing.
void judge(BenchResult& row, const BenchExperiment& experiment) {
    try {
        const c10::Device device = find_device(row.device);
        row.device = device_name(device);
        if (device.is_cpu() && row.dtype == "fp16")
            return refuse(row, BenchStatus::refused, "no fast path for fp16 on the CPU; bf16 takes as little memory");
        const auto bytes =
            static_cast<uint64_t>(experiment.parameters) * c10::elementSize(find_dtype(row.dtype, device));
        if (bytes > physical_memory())
            refuse(row, BenchStatus::refused,
                   "its weights alone take " + format_bytes(bytes) + ", more memory than this machine has");
    } catch (const Error& error) {
        if (error.code() == ExitCode::usage) throw;
        refuse(row, BenchStatus::absent, "no such device here");
    }
}

}  // namespace

std::vector<BenchResult> plan_bench(const BenchSettings& settings, const std::vector<BenchExperiment>& experiments) {
    std::vector<BenchResult> rows;
    for (const auto& experiment : experiments) {
        const auto& wanted = settings.experiments;
        if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), experiment.name) == wanted.end()) continue;
        const bool random = settings.random || !experiment.weights_here();
        for (const auto& device : devices_of(settings))
            for (const auto& dtype : dtypes_of(settings, device))
                for (const auto& shape : shapes_of(settings, experiment)) {
                    BenchResult row{.experiment = experiment.name,
                                    .model = experiment.model,
                                    .device = device,
                                    .dtype = dtype,
                                    .random_weights = random,
                                    .shape = shape,
                                    .steps = settings.steps,
                                    .repeats = settings.repeats,
                                    .flop_per_step = experiment.flop_per_step(shape)};
                    if (settings.study) row.quoted = find_study_experiment(experiment.name).figures;
                    judge(row, experiment);
                    rows.push_back(row);
                }
    }
    return rows;
}

}  // namespace diffapple

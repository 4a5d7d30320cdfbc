// One run by one person should tell all that can be known of a machine that nobody here has.
#include "diffapple/tools/selftest/summary.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/version.h"

namespace diffapple {
namespace {

std::string describe_machine(const BenchMachine& machine, c10::Device device) {
    return concat(machine.cpu, ", ", counted(machine.cores, "core"), ", ", format_bytes(machine.memory_bytes),
                  "; device ", device_name(device), machine.gpu.empty() ? "" : " (" + machine.gpu + ")", "; ",
                  machine.os, "; LibTorch ", machine.libtorch, "; diffapple ", version);
}

/// The worst share of its limit that a check used, of each dtype, and every check that failed.
std::vector<std::string> describe_checks(const std::vector<CheckResult>& checks) {
    struct Tally {
        size_t count = 0, passed = 0;
        double worst = 0;
        std::string worst_name;
    };
    std::map<std::string, Tally> tallies;
    std::vector<std::string> lines, failed;
    for (const auto& check : checks) {
        Tally& tally = tallies[check.dtype];
        ++tally.count;
        tally.passed += check.ok ? 1 : 0;
        const double share = check.comparison.limit > 0 ? check.comparison.error / check.comparison.limit : 0;
        if (check.ok && share > tally.worst) {
            tally.worst = share;
            tally.worst_name = check.name;
        }
        if (!check.ok)
            failed.push_back(concat("FAILED ", check.dtype, "  ", check.name, ": ",
                                    check.problem.empty()
                                        ? concat("error ", format_scientific(check.comparison.error, 2), ", limit ",
                                                 format_scientific(check.comparison.limit, 2))
                                        : check.problem));
    }
    for (const auto& [dtype, tally] : tallies)
        lines.push_back(concat("checks ", dtype, ": ", tally.passed, " of ", tally.count, " passed",
                               tally.worst_name.empty() ? ""
                                                        : concat("; nearest to its limit, at ",
                                                                 format_percent(tally.worst), ": ", tally.worst_name)));
    lines.insert(lines.end(), failed.begin(), failed.end());
    return lines;
}

std::string describe_speed(const BenchResult& result) {
    const std::string model =
        concat(result.experiment, ' ', result.dtype, ' ', result.shape.size.width, 'x', result.shape.size.height);
    if (result.step_seconds.empty()) {
        const std::string why = result.note.empty() ? "" : ": " + result.note;
        return concat(model, ": ", status_name(result.status), why);
    }
    std::string line = concat(model, ": ", format_fixed(1 / summarize(result.step_seconds).median, 2), " it/s");
    if (result.memory) {
        line += concat("; peak ", format_bytes(result.memory->peak()), ", process ",
                       format_bytes(result.memory->resident), ", swap ", format_bytes(result.memory->swap));
    }
    if (result.load_seconds) line += concat("; made in ", format_fixed(*result.load_seconds, 0), " s");
    if (result.load_memory) line += concat(" with ", format_bytes(result.load_memory->peak()));
    if (result.decode_seconds) line += concat("; decoding ", format_fixed(*result.decode_seconds, 2), " s");
    return line;
}

}  // namespace

BenchSettings selftest_speed_settings(c10::Device device) {
    constexpr double minutes = 5;
    return {.devices = {device_name(device)},
            .dtypes = {dtype_name(find_dtype("auto", device))},
            .batch_sizes = {1},  // all four models in that time, also on two cores
            .steps = 1,
            .repeats = 1,
            .random = true,
            .max_minutes = minutes};
}

std::string selftest_summary(c10::Device device, const std::vector<CheckResult>& checks, const BenchReport& speed) {
    const std::string rule = "---- diffapple selftest: please paste this block into an issue ----";
    std::vector<std::string> lines{rule, describe_machine(speed.machine, device)};
    for (auto& line : describe_checks(checks)) lines.push_back(std::move(line));
    if (speed.results.empty()) lines.emplace_back("speed: not measured");
    for (const auto& result : speed.results) lines.push_back(describe_speed(result));
    lines.emplace_back(rule.size(), '-');
    return join(lines, "\n");
}

}  // namespace diffapple

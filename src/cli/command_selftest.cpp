// `diffapple selftest`: does this device compute what it should?
#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/recipes/lists.h"
#include "diffapple/tools/selftest/selftest.h"
#include "diffapple/tools/selftest/summary.h"

namespace diffapple {
namespace {

using nlohmann::json;

struct Options {
    std::string device = "auto", dtypes = "auto", speed = "auto";
    bool as_json = false;
};

std::vector<c10::ScalarType> choose_dtypes(const Options& options, c10::Device device) {
    if (options.dtypes == "auto") return selftest_dtypes(device);
    std::vector<c10::ScalarType> dtypes;
    for (const auto& name : parse_choices("--dtype", options.dtypes, {"fp32", "fp16", "bf16"}))
        dtypes.push_back(find_dtype(name, device));
    return dtypes;
}

std::string show_number(double value) {
    return value == std::floor(value) ? format_fixed(value, 0) : format_scientific(value, 1);
}

std::vector<std::string> to_row(const CheckResult& result) {
    const bool threw = !result.problem.empty();
    return {result.name, result.dtype, threw ? "-" : show_number(result.comparison.error),
            threw ? "-" : show_number(result.comparison.limit),
            result.ok ? "ok"
            : threw   ? "FAILED: " + result.problem
                      : "FAILED"};
}

json to_json(const CheckResult& result) {
    return {{"check", result.name},
            {"dtype", result.dtype},
            {"error", result.comparison.error},
            {"limit", result.comparison.limit},
            {"ok", result.ok},
            {"seconds", result.seconds},
            {"problem", result.problem.empty() ? json() : json(result.problem)}};
}

void print_table(const std::vector<CheckResult>& results) {
    std::vector<std::vector<std::string>> rows{{"check", "dtype", "error", "limit", ""}};
    for (const auto& result : results) rows.push_back(to_row(result));
    print_result(format_table(rows));
}

double total_seconds(const std::vector<CheckResult>& results) {
    double seconds = 0;
    for (const auto& result : results) seconds += result.seconds;
    return seconds;
}

void print_results_json(const std::vector<CheckResult>& results, c10::Device device, const BenchReport& speed) {
    json checks = json::array();
    size_t passed = 0;
    for (const auto& result : results) {
        checks.push_back(to_json(result));
        passed += result.ok ? 1 : 0;
    }
    print_json({{"device", device_name(device)},
                {"libtorch", libtorch::version()},
                {"checks", checks},
                {"passed", passed},
                {"failed", results.size() - passed},
                {"seconds", total_seconds(results)},
                {"speed", json(to_json(speed))},
                {"summary", selftest_summary(device, results, speed)}});
}

/// On GPUs, unless it is not wanted.
BenchReport measure_speed(const Options& options, c10::Device device) {
    const bool wanted = options.speed == "auto" ? !device.is_cpu() : options.speed == "on";
    if (!wanted) return {.machine = this_machine()};
    BenchReport report =
        run_bench(selftest_speed_settings(device), [](const std::string& line) { print_message(line); });
    if (report.interrupted) throw Interrupted();
    return report;
}

void run(const Options& options) {
    const c10::Device device = find_device(options.device);
    const auto dtypes = choose_dtypes(options, device);
    print_message("selftest on " + device_name(device) + " ...");
    const auto results = run_checks(selftest_checks(), device, dtypes);
    if (!options.as_json) print_table(results);
    const BenchReport speed = measure_speed(options, device);
    if (options.as_json)
        print_results_json(results, device, speed);
    else if (!device.is_cpu())
        print_result('\n' + selftest_summary(device, results, speed) + '\n');
    require_all_passed(results, device);
    print_message(concat("selftest: all ", counted(results.size(), "check"), " passed on ", device_name(device), " in ",
                         std::lround(total_seconds(results)), " s (LibTorch ", libtorch::version(), ")"));
}

}  // namespace

void add_selftest_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("selftest", "Check that a device computes what it should");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("--device", options->device, "Which device; cuda:N is the N-th GPU"),
               "auto|mps|cuda|cpu")
        ->default_str(options->device);
    with_value(
        command->add_option("--dtype", options->dtypes, "auto (all that are good there), or some of fp32,fp16,bf16"),
        "LIST")
        ->default_str(options->dtypes);
    add_choice_option(command, "--speed", options->speed, {"auto", "on", "off"},
                      "Time a step of each full-size model with random weights, in 5 minutes; auto: on a GPU")
        ->default_str(options->speed);
    add_examples(command, {"selftest", "selftest --device mps", "selftest --dtype fp32,bf16 --json"});
    command->add_flag("--json", options->as_json, "One JSON object on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace diffapple

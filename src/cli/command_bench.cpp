// `diffapple bench`: it/s and memory of the study's models on this machine.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/io/files.h"
#include "diffapple/recipes/lists.h"
#include "diffapple/tools/bench/bench.h"
#include "diffapple/tools/bench/compare.h"

namespace diffapple {
namespace {

struct Options {
    std::string experiments, devices, dtypes, batch_sizes, sizes, steps = "2", repeats = "5", preset;
    BenchSettings settings;
    double max_minutes = 0;
    std::string json_file, csv_file;
    std::vector<std::string> compared;
    std::string svg_file = "bench_compare.svg";
    bool quiet = false;
};

constexpr const char* standard_output = "-";

/// Three significant digits, the way it/s are read: 0.42, 3.17, 42.1, 142.
std::string show_rate(double value) {
    return format_fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

std::string show_duration(const std::optional<double>& seconds) {
    if (!seconds) return "-";
    return *seconds < 0.9995 ? format_fixed(1e3 * *seconds, *seconds < 0.00995 ? 1 : 0) + " ms"
                             : format_fixed(*seconds, 1) + " s";
}

std::string show_device_memory(const std::optional<MemoryUse>& memory) {
    if (!memory || !memory->device) return "-";
    const auto share = memory->recommended_share;
    return format_bytes(*memory->device) + (share ? " (" + format_percent(*share) + ")" : "");
}

/// Whether a column says anything depends on the run; those that do not are left out.
struct Columns {
    bool encode = false, device_memory = false, sustained = false, quoted = false;

    explicit Columns(const std::vector<BenchResult>& results) {
        for (const auto& result : results) {
            encode = encode || result.encode_seconds.has_value();
            device_memory = device_memory || (result.memory && result.memory->device);
            sustained = sustained || result.sustained.has_value();
            quoted = quoted || result.quoted.has_value();
        }
    }
};

std::vector<std::string> header_row(const Columns& columns) {
    std::vector<std::string> row{"experiment", "device", "dtype", "size", "batch", "it/s", "best", "ms/step", "spread"};
    row.insert(row.end(), {"GFLOP", "of GEMM", "load", "load peak"});
    if (columns.encode) row.emplace_back("encode");
    row.emplace_back("decode");
    if (columns.device_memory) row.emplace_back("device");
    row.insert(row.end(), {"resident", "swap"});
    if (columns.sustained) row.emplace_back("sustained it/s");
    if (columns.quoted) row.insert(row.end(), {"M2*", "RTX A5000*", "memory*"});
    row.emplace_back("note");
    return row;
}

void add_timing(const BenchResult& result, std::vector<std::string>& row) {
    if (result.step_seconds.empty()) return row.insert(row.end(), {"-", "-", "-", "-"}), void();
    const Timing timing = summarize(result.step_seconds);
    row.insert(row.end(), {show_rate(1 / timing.median), show_rate(1 / timing.best),
                           format_fixed(1e3 * timing.median, 0), format_percent(timing.spread)});
}

std::string remark(const BenchResult& result) {
    if (result.status == BenchStatus::measured) return result.note;
    return status_name(result.status) + (result.note.empty() ? "" : ": " + result.note);
}

std::vector<std::string> to_row(const BenchResult& result, const Columns& columns) {
    const bool planned = result.shape.size.width > 0, measured = !result.step_seconds.empty();
    std::vector<std::string> row{result.experiment, planned ? result.device : "-", planned ? result.dtype : "-",
                                 planned ? concat(result.shape.size.width, 'x', result.shape.size.height) : "-",
                                 planned ? concat(result.shape.batch_size) : "-"};
    add_timing(result, row);
    row.push_back(planned ? format_fixed(result.flop_per_step / 1e9, 1) : "-");
    row.push_back(measured ? format_percent(result.gemm_share()) : "-");
    row.push_back(show_duration(result.load_seconds));
    row.push_back(result.load_memory ? format_bytes(result.load_memory->peak()) : "-");
    if (columns.encode) row.push_back(show_duration(result.encode_seconds));
    row.push_back(show_duration(result.decode_seconds));
    if (columns.device_memory) row.push_back(show_device_memory(result.memory));
    row.push_back(result.memory ? format_bytes(result.memory->resident) : "-");
    row.push_back(result.memory ? format_bytes(result.memory->swap) : "-");
    if (columns.sustained)
        row.push_back(result.sustained ? show_rate(result.sustained->first_it_per_s) + " > " +
                                             show_rate(result.sustained->last_it_per_s)
                                       : "-");
    if (columns.quoted) {
        const auto& quoted = result.quoted;
        row.push_back(quoted ? show_rate(quoted->m2_it_per_s) : "-");
        row.push_back(quoted ? show_rate(quoted->rtx_a5000_it_per_s) : "-");
        row.push_back(quoted ? format_bytes(static_cast<uint64_t>(quoted->memory_bytes)) : "-");
    }
    row.push_back(remark(result));
    return row;
}

/// Those that take a hundredth of the time or more, and all others together.
void print_operators(const std::string& title, const std::vector<OperatorTime>& operators) {
    double all = 0, others = 0;
    int64_t calls_of_others = 0;
    for (const auto& time : operators) all += time.seconds;
    std::vector<std::vector<std::string>> rows{{title, "calls", "ms", "share"}};
    const auto add = [&](const std::string& name, int64_t calls, double seconds) {
        rows.push_back({name, calls > 0 ? std::to_string(calls) : "-", format_fixed(1e3 * seconds, 1),
                        format_percent(seconds / all)});
    };
    for (const auto& [name, calls, seconds] : operators) {
        if (seconds >= all / 100) {
            add(name.empty() ? "(outside of operators)" : name, calls, seconds);
        } else {
            others += seconds;
            calls_of_others += calls;
        }
    }
    add("(others)", calls_of_others, others);
    print_result("\n" + format_table(rows));
}

void print_table(const BenchReport& report) {
    const Columns columns(report.results);
    std::vector<std::vector<std::string>> rows{header_row(columns)};
    for (const auto& result : report.results) rows.push_back(to_row(result, columns));
    print_result(format_table(rows));
    for (const auto& result : report.results) {
        if (result.step_operators.empty()) continue;
        print_operators(result.title() + ": a step", result.step_operators);
        print_operators(result.title() + ": decoding", result.decode_operators);
    }
    if (columns.quoted)
        print_result("* quoted from the study (it/s on a MacBook M2 16 GB and on an RTX A5000), not measured here");
    const BenchMachine& machine = report.machine;
    print_result(concat(machine.cpu, ", ", counted(machine.cores, "core"), ", ", counted(machine.threads, "thread"),
                        machine.gpu.empty() ? "" : ", " + machine.gpu, "; ", machine.os, "; LibTorch ",
                        machine.libtorch));
}

void write_reports(const BenchReport& report, const Options& options) {
    const auto json = to_json(report);
    if (options.json_file == standard_output)
        print_indented_json(json);
    else
        print_table(report);
    const auto replace = nlohmann::ordered_json::error_handler_t::replace;  // names of processors may hold anything
    if (!options.json_file.empty() && options.json_file != standard_output)
        write_file_atomically(options.json_file, json.dump(2, ' ', /*ensure_ascii=*/false, replace) + "\n");
    if (!options.csv_file.empty()) write_file_atomically(options.csv_file, to_csv(report));
}

void require_none_failed(const BenchReport& report) {
    for (const auto& result : report.results)
        if (result.status == BenchStatus::failed)
            fail("bench: ", result.experiment, " on ", result.device, " in ", result.dtype, " failed: ", result.note);
}

std::vector<std::string> split_devices(const std::string& text) {
    std::vector<std::string> names;
    std::istringstream parts(text);
    for (std::string name; std::getline(parts, name, ',');) names.push_back(name);
    return names;
}

int64_t parse_one(const std::string& option, const std::string& text, int64_t maximum) {
    const auto values = parse_integers(option, text, 1, maximum);
    if (values.size() != 1) fail_usage(option, ": takes one number");
    return values.front();
}

BenchSettings read_settings(const Options& options) {
    constexpr int64_t max_size = 16384, max_batch = 1024, max_steps = 1000, max_repeats = 1000;
    BenchSettings settings = options.settings;
    std::vector<std::string> experiments;
    for (const auto& experiment : bench_experiments()) experiments.push_back(experiment.name);
    if (!options.experiments.empty())
        settings.experiments = parse_choices("--experiments", options.experiments, experiments);
    settings.devices = split_devices(options.devices);
    if (!options.dtypes.empty()) settings.dtypes = parse_choices("--dtypes", options.dtypes, {"fp32", "bf16", "fp16"});
    if (!options.batch_sizes.empty())
        settings.batch_sizes = parse_integers("--batch-sizes", options.batch_sizes, 1, max_batch);
    if (!options.sizes.empty()) settings.sizes = parse_integers("--sizes", options.sizes, 1, max_size);
    settings.steps = parse_one("--steps", options.steps, max_steps);
    settings.repeats = parse_one("--repeats", options.repeats, max_repeats);
    settings.study = options.preset == "study";
    if (settings.study && !(options.batch_sizes.empty() && options.sizes.empty()))
        fail_usage("--preset study runs the study's own batch and size; leave out --batch-sizes and --sizes");
    if (options.max_minutes > 0) settings.max_minutes = options.max_minutes;
    return settings;
}

/// Before an hour of measuring, not after it: the file of an option, which will begin so.
void require_writable(const std::string& option, const std::string& file, std::string_view beginning) {
    if (file.empty() || file == standard_output) return;
    namespace fs = std::filesystem;
    const fs::path path = file, folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    if (fs::is_directory(path) || !fs::is_directory(folder) || access(folder.c_str(), W_OK | X_OK) != 0)
        fail(file, ": cannot be written; name a file in a folder that exists and is writable");
    require_same_kind(option, file, beginning);
}

void measure(const Options& options) {
    require_writable("--json", options.json_file, "{\n  \"schema\"");
    require_writable("--csv", options.csv_file, "cpu,gpu,os");
    if (!options.json_file.empty() && options.json_file == options.csv_file)
        fail_usage("--json and --csv: two files need two names");
    const Tell tell = [&](const std::string& line) {
        if (!options.quiet) print_message("bench: " + line);
    };
    const BenchReport report = run_bench(read_settings(options), tell);
    write_reports(report, options);
    if (report.interrupted)
        throw Error("bench: interrupted; the rows above are what was finished", ExitCode::interrupted);
    require_none_failed(report);
}

void compare(const Options& options) {
    const BenchComparison comparison = compare_benches(options.compared);
    print_result(format_table(comparison.table()));
    const std::string picture = comparison.svg();
    require_same_kind("--svg", options.svg_file, std::string_view(picture).substr(0, 4));
    write_file_atomically(options.svg_file, picture);
    print_path(options.svg_file);
}

}  // namespace

void add_bench_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("bench", "Measure it/s and memory of the study's models here");
    const auto options = std::make_shared<Options>();
    BenchSettings& settings = options->settings;
    const auto add = [&](const char* name, std::string& value, const char* kind, const char* help) {
        return with_value(command->add_option(name, value, help), kind);
    };
    add("--experiments", options->experiments, "LIST", "Experiments [all]");
    add("--devices", options->devices, "LIST", "Of mps, cuda, cuda:N, cpu [those of this machine]");
    add("--dtypes", options->dtypes, "LIST", "Of fp32, bf16, fp16 [those that are good for a device]");
    add("--batch-sizes", options->batch_sizes, "LIST", "Batch sizes [the study's]");
    add("--sizes", options->sizes, "LIST", "Widths = heights [the study's]");
    add("--steps", options->steps, "N", "Steps in one timing")->default_str(options->steps);
    add("--repeats", options->repeats, "N", "Timings of each configuration, in turns")->default_str(options->repeats);
    command->add_flag("--random", settings.random, "Random weights, also where the real ones are on this machine");
    command->add_flag("--operators", settings.operators, "Also the time of each operator, in a step and in decoding");
    add_choice_option(command, "--preset", options->preset, {"study"}, "Its settings, its figures beside the measured");
    add_number_option(
        command, "--sustained", [&settings](double minutes) { settings.sustained_minutes = minutes; }, 0, 1440,
        "Minutes without a pause: first against last minute");
    add_number_option(
        command, "--max-minutes", [&options = *options](double minutes) { options.max_minutes = minutes; }, 0.01, 10080,
        "Stop then [about twice the estimate]");
    add("--json", options->json_file, "FILE", "File for the results as JSON; - is stdout");
    add("--csv", options->csv_file, "FILE", "File for the results as CSV");
    with_value(command->add_option("--compare", options->compared, "Join JSON files into one table and one picture"),
               "FILE");
    add("--svg", options->svg_file, "FILE", "The picture of --compare")->default_str(options->svg_file);
    add_examples(command, {"bench --experiments ddpm", "bench --preset study", "bench --compare mac.json gpu.json"});
    command->add_flag("--quiet", options->quiet, "Say only errors on stderr");
    command->callback([options] { options->compared.empty() ? measure(*options) : compare(*options); });
}

}  // namespace diffapple

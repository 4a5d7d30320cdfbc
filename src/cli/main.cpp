// The program: parses the command line, runs one command, turns every failure into one line and an exit code.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>

#include "diffapple/cli/command_line.h"
#include "diffapple/cli/commands.h"
#include "diffapple/cli/defaults.h"
#include "diffapple/cli/failure.h"
#include "diffapple/cli/help.h"
#include "diffapple/cli/last_words.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/cpu_memory.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/process_limits.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/version.h"

namespace {

using diffapple::ExitCode;

int report(const std::string& message, ExitCode code) {
    diffapple::print_error(message);
    return static_cast<int>(code);
}

void add_commands(CLI::App& app) {
    diffapple::add_experiment_commands(app);
    diffapple::add_bench_command(app);
    diffapple::add_selftest_command(app);
    diffapple::add_devices_command(app);
    diffapple::add_models_command(app);
    diffapple::add_inspect_command(app);
    diffapple::add_tokenize_command(app);
    diffapple::add_fetch_command(app);
    diffapple::add_convert_command(app);
    diffapple::add_show_command(app);
    diffapple::add_grid_command(app);
    diffapple::add_report_command(app);
    diffapple::add_replay_command(app);
    diffapple::add_completion_command(app);
}

/// "; defaults in use: --steps from DIFFAPPLE_STEPS": what is wrong may be among them.
std::string name_defaults(const std::vector<diffapple::Default>& used) {
    std::string text;
    for (const auto& known : used)
        text += (text.empty() ? "; defaults in use: " : ", ") + known.option + " from " + known.source;
    return text;
}

int parse_and_run(const std::vector<std::string>& typed) {
    CLI::App app("Diffusion experiments on Apple silicon, CUDA and the CPU", "diffapple");
    app.set_version_flag("--version", std::string("diffapple ") + diffapple::version);
    app.set_help_flag("-h,--help", "This text");
    app.formatter(std::make_shared<diffapple::HelpFormatter>());
    app.footer(
        "Defaults may stand in ~/.config/diffapple/config.toml and in DIFFAPPLE_<OPTION>; `diffapple devices "
        "--verbose` shows those in use.");
    app.require_subcommand(1);
    add_commands(app);
    std::vector<diffapple::Default> defaults;
    try {
        std::vector<std::string> words = diffapple::with_defaults(app, diffapple::read_words(app, typed), defaults);
        std::reverse(words.begin(), words.end());  // as CLI11 takes them
        app.parse(std::move(words));
    } catch (const CLI::Success& help) {
        return app.exit(help);
    } catch (const CLI::ParseError&) {  // read_words has found what it knows; this is a fault of the program
        return report("this call cannot be read (`diffapple --help` and `diffapple COMMAND --help` show what there is)",
                      ExitCode::usage);
    } catch (const diffapple::Error& error) {
        if (error.code() != ExitCode::usage || defaults.empty()) throw;
        return report(error.what() + name_defaults(defaults), ExitCode::usage);
    }
    return static_cast<int>(ExitCode::ok);
}

/// What LibTorch needs before anything is done. Its library for the processor's facts uses tables that it could not
/// make where one of the system's files could not be read.
void prepare() {
    const diffapple::FaultMeans meaning(
        "diffapple: the system's files about its processor (/proc/cpuinfo, /sys/devices/system/cpu) cannot be read, "
        "and "
        "LibTorch needs them\n");
    diffapple::prepare_open_files();
    diffapple::libtorch::silence_onednn();
    diffapple::reuse_cpu_memory();
}

}  // namespace

int main(int argc, char** argv) {
    diffapple::install_last_words();
    diffapple::install_stop_handlers();
    try {
        prepare();
        return parse_and_run({argv + 1, argv + std::max(argc, 1)});
    } catch (const std::exception& error) {
        const diffapple::Failure failure = diffapple::describe_failure(error);
        const int code = report(failure.message, failure.code);  // of an interrupt, a run says itself what is left
        if (failure.code == ExitCode::interrupted) {
            std::fflush(nullptr);
            diffapple::end_by_stop_signal();
        }
        return code;
    }
}

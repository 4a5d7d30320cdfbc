// The program: parses the command line, runs one command, turns every failure into one line and an exit code.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string_view>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/failure.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/process_limits.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/version.h"

namespace {

using diffapple::ExitCode;

int report(const std::string& message, ExitCode code) {
    diffapple::print_message("diffapple: " + message);
    return static_cast<int>(code);
}

/// CLI11 says of a word that is no command only that a command is missing.
void require_command(const CLI::App& app, int argc, char** argv) {
    if (argc < 2 || argv[1][0] == '-') return;
    const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
    const std::string word = argv[1];
    if (std::none_of(commands.begin(), commands.end(),
                     [&](const auto* command) { return command->get_name() == word; }))
        diffapple::fail_usage("'", word, "' is no command (`diffapple --help` shows what there is)");
}

int parse_and_run(int argc, char** argv) {
    CLI::App app("Diffusion experiments on Apple silicon, CUDA and the CPU", "diffapple");
    app.set_version_flag("--version", std::string("diffapple ") + diffapple::version);
    app.require_subcommand(1);
    diffapple::add_experiment_commands(app);
    diffapple::add_bench_command(app);
    diffapple::add_selftest_command(app);
    diffapple::add_devices_command(app);
    diffapple::add_models_command(app);
    diffapple::add_inspect_command(app);
    diffapple::add_tokenize_command(app);
    diffapple::add_show_command(app);
    diffapple::add_grid_command(app);
    diffapple::add_report_command(app);
    diffapple::add_replay_command(app);
    require_command(app, argc, argv);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        return report(
            std::string(error.what()) + " (`diffapple --help` and `diffapple COMMAND --help` show what there is)",
            ExitCode::usage);
    }
    return static_cast<int>(ExitCode::ok);
}

/// For an exception that cannot reach main (a library's function that must not throw ran out of memory): a line and
/// exit code 1, as of any other. Nothing here allocates.
[[noreturn]] void end_with_a_line() {
    std::string_view line = "diffapple: ended by a fault that no part of the program could handle\n";
    try {
        if (const auto current = std::current_exception()) std::rethrow_exception(current);
    } catch (const std::bad_alloc&) {
        line = "diffapple: out of memory: there is not enough for this run\n";
    } catch (...) {  // its text might be of memory that is not there
    }
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
    std::_Exit(static_cast<int>(ExitCode::failure));
}

}  // namespace

int main(int argc, char** argv) {
    std::set_terminate(end_with_a_line);
    diffapple::install_stop_handlers();
    try {
        diffapple::prepare_open_files();
        return parse_and_run(argc, argv);
    } catch (const std::exception& error) {
        const diffapple::Failure failure = diffapple::describe_failure(error);
        return report(failure.message, failure.code);  // of an interrupt, a run of pictures says itself what is left
    }
}

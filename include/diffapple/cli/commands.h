// The commands of the program. Each function adds one to the command-line parser; parsing then runs it.
#pragma once

namespace CLI {
class App;
}

namespace diffapple {

void add_experiment_commands(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_selftest_command(CLI::App& app);
void add_devices_command(CLI::App& app);
void add_models_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_convert_command(CLI::App& app);
void add_fetch_command(CLI::App& app);
void add_show_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_grid_command(CLI::App& app);
void add_report_command(CLI::App& app);
void add_replay_command(CLI::App& app);
void add_completion_command(CLI::App& app);

}  // namespace diffapple

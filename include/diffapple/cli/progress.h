// Progress of a run on stderr: one bar for all its batches (setting, it/s, time left) on a terminal, sparse plain lines
// elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "diffapple/core/stop.h"
#include "diffapple/experiments/reporter.h"

namespace CLI {
class App;
}

namespace diffapple {

/// What the user wants to see.
struct Verbosity {
    bool quiet = false;    ///< only errors
    bool verbose = false;  ///< also details
    bool json = false;     ///< one object per picture on stdout, instead of its path
    bool show = false;     ///< small pictures between the lines, where the terminal can
};

class ConsoleReporter final : public Reporter {
public:
    explicit ConsoleReporter(const Verbosity& verbosity);
    ~ConsoleReporter() override;

    void note(const std::string& message) override;
    void detail(const std::string& message) override;
    void begin_run(size_t batches, size_t turns) override;
    void batch_left_out(size_t turns) override;
    void begin_batch(const std::string& label) override;
    void turn(size_t done, size_t total) override;
    void end_batch() override;
    void picture(const nlohmann::json& report) override;

private:
    using Clock = std::chrono::steady_clock;

    void draw_bar(const std::string& text) const;
    void clear_bar();
    void show(const std::string& path);
    std::string status(size_t done, size_t total) const;

    Verbosity verbosity_;
    bool terminal_;
    StopNotice stop_notice_;
    bool bar_shown_ = false, told_of_no_show_ = false;
    std::string label_;
    size_t batches_ = 1, turns_ = 1;            ///< of the run
    size_t batch_number_ = 0;                   ///< of the batch that is being made, from 1
    size_t turns_before_ = 0, turns_done_ = 0;  ///< of the batches before it; of all
    Clock::time_point run_start_, loop_start_, last_shown_;
};

/// --json, --verbose and --quiet of a command.
void add_verbosity_options(CLI::App* command, Verbosity& verbosity, const std::string& json_help);
/// --show, of a command that saves pictures.
void add_show_option(CLI::App* command, Verbosity& verbosity);

}  // namespace diffapple

// Progress of a run on stderr: a bar with it/s and time left on a terminal, sparse plain lines elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "diffapple/experiments/reporter.h"

namespace diffapple {

/// What the user wants to see.
struct Verbosity {
    bool quiet = false;    ///< only errors
    bool verbose = false;  ///< also details
    bool json = false;     ///< one object per picture on stdout, instead of its path
};

class ConsoleReporter final : public Reporter {
public:
    explicit ConsoleReporter(const Verbosity& verbosity);
    ~ConsoleReporter() override;

    void note(const std::string& message) override;
    void detail(const std::string& message) override;
    void begin_batch(const std::string& label, size_t number, size_t count) override;
    void turn(size_t done, size_t total) override;
    void end_batch() override;
    void picture(const nlohmann::json& report) override;

private:
    using Clock = std::chrono::steady_clock;

    void draw_bar(size_t done, size_t total);
    void print_line(size_t done, size_t total);
    void clear_bar();
    std::string status(size_t done, size_t total) const;

    Verbosity verbosity_;
    bool terminal_;
    bool bar_shown_ = false;
    std::string label_;
    Clock::time_point batch_start_, last_shown_;
};

/// "0:07", "12:34", "1:02:03".
std::string format_duration(double seconds);

}  // namespace diffapple

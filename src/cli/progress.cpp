#include "diffapple/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"

namespace diffapple {
namespace {

constexpr std::chrono::milliseconds bar_interval{50};
constexpr std::chrono::seconds line_interval{10};

size_t terminal_width() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string format_rate(double per_second) {
    char text[32];
    if (per_second >= 1)
        std::snprintf(text, sizeof(text), "%.2f it/s", per_second);
    else
        std::snprintf(text, sizeof(text), "%.2f s/it", 1 / per_second);
    return text;
}

}  // namespace

std::string format_duration(double seconds) {
    const auto total = static_cast<long long>(std::llround(seconds));
    char text[32];
    if (total >= 3600)
        std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", total / 3600, total / 60 % 60, total % 60);
    else
        std::snprintf(text, sizeof(text), "%lld:%02lld", total / 60, total % 60);
    return text;
}

ConsoleReporter::ConsoleReporter(const Verbosity& verbosity)
    : verbosity_(verbosity), terminal_(isatty(STDERR_FILENO) != 0) {}

ConsoleReporter::~ConsoleReporter() {
    clear_bar();
}

void ConsoleReporter::note(const std::string& message) {
    if (verbosity_.quiet) return;
    clear_bar();
    print_message(message);
}

void ConsoleReporter::detail(const std::string& message) {
    if (verbosity_.verbose) note(message);
}

void ConsoleReporter::begin_batch(const std::string& label, size_t number, size_t count) {
    label_ = count > 1 ? concat(number, '/', count, "  ", label) : label;
    batch_start_ = Clock::now();
    last_shown_ = {};
}

void ConsoleReporter::turn(size_t done, size_t total) {
    if (verbosity_.quiet) return;
    const auto now = Clock::now();
    const bool last = done == total;
    if (terminal_ && (last || now - last_shown_ >= bar_interval)) {
        draw_bar(done, total);
        last_shown_ = now;
    } else if (!terminal_ && (last || (now - last_shown_ >= line_interval && now - batch_start_ >= line_interval))) {
        print_line(done, total);
        last_shown_ = now;
    }
}

std::string ConsoleReporter::status(size_t done, size_t total) const {
    const double elapsed = std::chrono::duration<double>(Clock::now() - batch_start_).count();
    const double rate = static_cast<double>(done) / std::max(elapsed, 1e-9);
    const double left = static_cast<double>(total - done) / rate;
    return concat(done, '/', total, "  ", format_rate(rate), "  ", format_duration(elapsed),
                  done < total ? " (" + format_duration(left) + " left)" : "");
}

void ConsoleReporter::draw_bar(size_t done, size_t total) {
    const std::string text = label_ + "  " + status(done, total);
    const size_t room = terminal_width() > text.size() + 4 ? terminal_width() - text.size() - 4 : 0;
    const size_t cells = std::min<size_t>(room, 30), filled = cells * done / total;
    std::string bar;
    for (size_t i = 0; i < cells; ++i) bar += i < filled ? "\u2588" : "\u2591";
    std::fprintf(stderr, "\r\x1b[K%s  %s", bar.c_str(), text.substr(0, terminal_width() - 4).c_str());
    std::fflush(stderr);
    bar_shown_ = true;
}

void ConsoleReporter::print_line(size_t done, size_t total) {
    print_message(label_ + "  " + status(done, total));
}

void ConsoleReporter::clear_bar() {
    if (!bar_shown_) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
    bar_shown_ = false;
}

void ConsoleReporter::end_batch() {
    if (!bar_shown_) return;
    std::fputc('\n', stderr);  // the finished bar stays: it shows the it/s
    bar_shown_ = false;
}

void ConsoleReporter::picture(const nlohmann::json& report) {
    if (verbosity_.json)
        print_json(report);
    else
        print_result(report.at("path").get<std::string>());
    if (report.at("skipped").get<bool>()) detail(report.at("path").get<std::string>() + ": made already, skipped");
}

}  // namespace diffapple

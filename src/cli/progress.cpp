#include "diffapple/cli/progress.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "diffapple/cli/output.h"
#include "diffapple/cli/terminal.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/image.h"
#include "inline_picture.h"

namespace diffapple {
namespace {

constexpr std::chrono::milliseconds bar_interval{50};
constexpr std::chrono::seconds line_interval{10};

/// Whether stderr is a terminal that knows how to go back to the start of a line.
bool can_draw_bar() {
    const char* const kind = std::getenv("TERM");
    return isatty(STDERR_FILENO) != 0 && !(kind && std::string_view(kind) == "dumb");
}

std::string format_rate(double per_second) {
    return per_second >= 1 ? format_fixed(per_second, 2) + " it/s" : format_fixed(1 / per_second, 2) + " s/it";
}

}  // namespace

void add_verbosity_options(CLI::App* command, Verbosity& verbosity, const std::string& json_help) {
    command->add_flag("--json", verbosity.json, json_help);
    command->add_flag("-v,--verbose", verbosity.verbose, "Say more on stderr");
    command->add_flag("-q,--quiet", verbosity.quiet, "Say only errors on stderr");
}

void add_show_option(CLI::App* command, Verbosity& verbosity) {
    command->add_flag("--show", verbosity.show, "Small pictures on the terminal (kitty, iTerm2 and their kin)");
}

ConsoleReporter::ConsoleReporter(const Verbosity& verbosity)
    : verbosity_(verbosity),
      terminal_(can_draw_bar()),
      stop_notice_(verbosity.quiet ? StopNotice::Kind::none
                   : terminal_     ? StopNotice::Kind::on_bar
                                   : StopNotice::Kind::line) {}

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

void ConsoleReporter::begin_run(size_t batches, size_t turns) {
    batches_ = batches;
    turns_ = std::max<size_t>(turns, 1);
    batch_number_ = turns_done_ = 0;
    run_start_ = last_shown_ = Clock::now();
}

void ConsoleReporter::batch_left_out(size_t turns) {
    batches_ -= std::min<size_t>(batches_, 1);
    turns_ = std::max<size_t>(turns_ - std::min(turns_, turns), 1);
}

void ConsoleReporter::begin_batch(const std::string& label) {
    ++batch_number_;
    label_ = batches_ > 1 ? concat(batch_number_, '/', batches_, "  ", label) : label;
    turns_before_ = turns_done_;
}

void ConsoleReporter::turn(size_t done, size_t total) {
    turns_done_ = turns_before_ + done;
    if (done == 0) loop_start_ = Clock::now();
    if (done == 0 || verbosity_.quiet) return;
    const auto now = Clock::now();
    const bool last = turns_done_ >= turns_;
    if (!last && now - last_shown_ < (terminal_ ? Clock::duration(bar_interval) : Clock::duration(line_interval)))
        return;
    last_shown_ = now;
    const std::string text = label_ + "  " + status(done, total);
    terminal_ ? draw_bar(text) : print_message(text);
    bar_shown_ = terminal_;
}

/// Turns and it/s of the batch's loop; time of the whole run, which counts loading and decoding too.
std::string ConsoleReporter::status(size_t done, size_t total) const {
    const auto seconds_since = [](Clock::time_point start) {
        return std::max(std::chrono::duration<double>(Clock::now() - start).count(), 1e-9);
    };
    const double elapsed = seconds_since(run_start_);
    const double left = elapsed / static_cast<double>(turns_done_) * static_cast<double>(turns_ - turns_done_);
    return concat(done, '/', total, "  ", format_rate(static_cast<double>(done) / seconds_since(loop_start_)), "  ",
                  format_duration(elapsed), turns_done_ < turns_ ? " (" + format_duration(left) + " left)" : "");
}

/// The bar shows the whole run.
void ConsoleReporter::draw_bar(const std::string& text) const {
    constexpr size_t margin = 5;
    const size_t width = std::max(terminal_width(STDERR_FILENO).value_or(80), 2 * margin) - margin;
    const std::string shown = shorten(printable(text), width);
    const size_t cells = std::min<size_t>(width - std::min(width, count_characters(shown)), 30);
    const size_t filled = cells * turns_done_ / turns_;
    std::string bar;
    for (size_t i = 0; i < cells; ++i) bar += i < filled ? "\u2588" : "\u2591";
    std::fprintf(stderr, "\r\x1b[K%s  %s", bar.c_str(), shown.c_str());
    std::fflush(stderr);
}

void ConsoleReporter::clear_bar() {
    if (!bar_shown_) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
    bar_shown_ = false;
}

void ConsoleReporter::end_batch() {
    if (!bar_shown_ || turns_done_ < turns_) return;
    std::fputc('\n', stderr);  // the finished bar stays: it shows the it/s
    bar_shown_ = false;
}

void ConsoleReporter::picture(const nlohmann::json& report) {
    if (isatty(STDOUT_FILENO) != 0) clear_bar();  // both are one terminal
    const auto path = report.at("path").get<std::string>();
    if (verbosity_.json)
        print_json(report);
    else
        print_path(path);
    if (report.at("skipped").get<bool>())
        detail(path + ": made already, skipped");
    else if (verbosity_.show)
        show(path);
}

/// A picture that cannot be shown is still saved.
void ConsoleReporter::show(const std::string& path) {
    constexpr int64_t side = 256;
    const PictureProtocol protocol = picture_protocol(STDERR_FILENO);
    if (protocol == PictureProtocol::none) {
        if (!std::exchange(told_of_no_show_, true))
            note("--show: this is no terminal that shows pictures (kitty, iTerm2 and their kin, not inside tmux)");
        return;
    }
    try {
        const std::string codes = inline_picture(read_image(path), protocol, side);
        clear_bar();
        std::fwrite(codes.data(), 1, codes.size(), stderr);
        std::fflush(stderr);
    } catch (const Error& error) {
        note(std::string("--show: ") + error.what());
    }
}

}  // namespace diffapple

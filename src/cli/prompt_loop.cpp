#include "diffapple/cli/prompt_loop.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>
#include <string_view>
#include <utility>

#include "diffapple/cli/failure.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/files.h"

namespace diffapple {
namespace {

/// Counts the prompts of a loop and those that failed.
class PromptRuns {
public:
    PromptRuns(Experiment& experiment, Reporter& reporter) : experiment_(experiment), reporter_(reporter) {}

    void run(const std::string& line) {
        const std::string prompt = valid_utf8(line);
        ++count_;
        try {
            experiment_.set_prompts({prompt});
            run_experiment(experiment_, reporter_);
        } catch (const std::exception& error) {
            const Failure failure = describe_failure(error);
            if (failure.code == ExitCode::interrupted) throw;
            ++failed_;
            print_message(concat("diffapple: prompt '", prompt, "': ", failure.message));
        }
    }

    size_t count() const { return count_; }

    void require_success() const {
        if (failed_ > 0) fail(failed_, " of ", count_, " prompts failed; the lines above say why");
    }

private:
    Experiment& experiment_;
    Reporter& reporter_;
    size_t count_ = 0, failed_ = 0;
};

/// The next line without its end, also that of Windows; absent at the end of the stream. What is no text may have no
/// line ends: such a line is refused before it fills the memory.
std::optional<std::string> next_line(std::istream& stream) {
    constexpr size_t longest_line = 1 << 20;
    std::string line;
    errno = 0;
    auto character = stream.get();
    const bool read = character != std::istream::traits_type::eof();
    for (; character != std::istream::traits_type::eof() && character != '\n'; character = stream.get()) {
        if (line.size() == longest_line) fail("a line of the prompts has more than ", longest_line, " bytes");
        line += std::istream::traits_type::to_char_type(character);
    }
    const int reason = errno;
    check_stop();  // a signal ends a read that waits
    if (stream.bad() || (&stream == &std::cin && std::ferror(stdin) != 0))
        fail("the prompts cannot be read: ", std::strerror(reason));
    if (!read) return std::nullopt;
    if (line.ends_with('\r')) line.pop_back();
    return line;
}

bool is_blank(const std::string& line) {
    return line.find_first_not_of(" \t") == std::string::npos;
}

/// Asks for a prompt where a person may answer.
void ask() {
    if (isatty(STDIN_FILENO) == 0) return;
    std::fputs("prompt (q ends): ", stderr);
    std::fflush(stderr);
}

void run_lines(std::istream& stream, PromptRuns& runs) {
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    bool first = true;
    while (auto line = next_line(stream)) {
        if (std::exchange(first, false) && line->starts_with(byte_order_mark)) line->erase(0, byte_order_mark.size());
        if (!is_blank(*line) && line->front() != '#') runs.run(*line);
    }
}

}  // namespace

void run_interactive(Experiment& experiment, Reporter& reporter) {
    PromptRuns runs(experiment, reporter);
    for (;;) {
        ask();
        const auto line = next_line(std::cin);
        if (!line || *line == "q") break;
        if (!is_blank(*line)) runs.run(*line);
    }
    runs.require_success();
}

void run_prompts_of_file(const std::string& file, Experiment& experiment, Reporter& reporter) {
    PromptRuns runs(experiment, reporter);
    if (file == "-") {
        run_lines(std::cin, runs);
    } else {
        // Looked at first: opening a pipe would wait for its writer.
        if (is_folder(file)) fail("--prompts ", file, ": is a folder, not a file of prompts");
        if (is_there(file) && !is_file(file))
            fail("--prompts ", file, ": is a pipe or a device, not a file; give prompts from a pipe with --prompts -");
        std::ifstream stream(file);
        if (!stream) fail("--prompts '", file, "': cannot be read (", std::strerror(errno), ")");
        run_lines(stream, runs);
    }
    if (runs.count() == 0) fail("--prompts ", file, ": holds no prompts");
    runs.require_success();
}

}  // namespace diffapple

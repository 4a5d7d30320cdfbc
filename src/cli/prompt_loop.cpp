#include "diffapple/cli/prompt_loop.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>

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

/// The next line without its end, also that of Windows; absent at the end of the stream.
std::optional<std::string> next_line(std::istream& stream) {
    std::string line;
    const bool read = static_cast<bool>(std::getline(stream, line));
    check_stop();  // a signal ends a read that waits
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

std::string read_prompts(const std::string& file) {
    constexpr uintmax_t largest = 256 << 20;
    if (file == "-") {
        std::string text;
        while (auto line = next_line(std::cin)) text += *line + '\n';
        return text;
    }
    // Looked at first: opening a pipe would wait for its writer.
    if (is_folder(file)) fail("--prompts ", file, ": is a folder, not a file of prompts");
    if (is_there(file) && !is_file(file))
        fail("--prompts ", file, ": is a pipe or a device, not a file; give prompts from a pipe with --prompts -");
    try {
        return read_file(file, largest);
    } catch (const Error& error) {
        fail("--prompts ", error.what());
    }
}

}  // namespace diffapple

#include "diffapple/cli/prompt_loop.h"

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <optional>
#include <sstream>

#include "diffapple/cli/failure.h"
#include "diffapple/cli/output.h"
#include "diffapple/cli/terminal.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/files.h"
#include "diffapple/recipes/jobs.h"
#include "line_editor.h"

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
            print_error(concat("prompt '", prompt, "': ", failure.message));
        }
    }

    size_t count() const { return count_; }

    void require_success() const {
        if (failed_ > 0) fail(failed_, " of ", counted(count_, "prompt"), " failed; the lines above say why");
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
    const StopNotice waiting(StopNotice::Kind::none);
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

/// In lines of the terminal.
void print_help_of_session() {
    std::istringstream lines(wrap_words(
        "a line is a prompt; :seed 3, :steps 4, :guidance 2,4, :negative-prompt TEXT ... change settings, as "
        "the command's options do; :show shows them, q (or :q, Ctrl-D) ends",
        terminal_width(STDERR_FILENO).value_or(SIZE_MAX), 0));
    for (std::string line; std::getline(lines, line);) print_message(line);
}

/// What a line that begins with a colon asks for. False where it ends the session.
bool obey(const std::string& line, Experiment& experiment) {
    const size_t blank = line.find(' ');
    const std::string word = line.substr(1, blank == std::string::npos ? blank : blank - 1);
    const std::string value = blank == std::string::npos ? "" : line.substr(line.find_first_not_of(' ', blank));
    if (word == "q" || word == "quit") return false;
    if (word == "help" || word == "h")
        print_help_of_session();
    else if (word == "show")
        print_message(experiment.describe());
    else
        experiment.change(word, value);
    return true;
}

/// Keys that a terminal sends and no prompt means: arrows of an unknown kind, a paste of something else.
void refuse_control_characters(const std::string& line) {
    for (const unsigned char c : line)
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            fail("the line holds control characters (", printable(line), "), and is no prompt");
}

/// A person at a terminal: false where the session is over.
bool run_typed_line(const std::string& line, Experiment& experiment, PromptRuns& runs) {
    try {
        refuse_control_characters(line);
        if (line.starts_with(':')) return obey(line, experiment);
    } catch (const Error& error) {
        if (error.code() == ExitCode::interrupted) throw;
        print_error(error.what());
        return true;
    }
    if (!is_blank(line)) runs.run(line);
    return true;
}

/// Lines of a pipe are read as typed ones are, but what asks for a setting and cannot have it is an error: the prompts
/// behind it would be made with other settings than were meant.
void run_piped_lines(Experiment& experiment, PromptRuns& runs) {
    while (const auto line = next_line(std::cin)) {
        if (*line == "q") return;
        if (line->starts_with('#')) continue;  // as in a file of prompts
        if (begins_as_job(*line))
            fail_usage("--interactive: ", quote(*line), " is a line with settings of its own; --prompts - reads those");
        if (line->starts_with(':')) {
            if (!obey(*line, experiment)) return;
        } else if (!is_blank(*line)) {
            runs.run(*line);
        }
    }
}

void run_session(Experiment& experiment, PromptRuns& runs) {
    LineEditor editor("prompt (:help, q ends): ");
    for (;;) {
        const auto line = editor.next();
        check_stop();
        if (!line || *line == "q" || !run_typed_line(*line, experiment, runs)) return;
    }
}

}  // namespace

void run_interactive(Experiment& experiment, Reporter& reporter) {
    PromptRuns runs(experiment, reporter);
    if (isatty(STDIN_FILENO) != 0)
        run_session(experiment, runs);
    else
        run_piped_lines(experiment, runs);
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

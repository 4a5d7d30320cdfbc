// Runs of many prompts: the lines of a file, each a prompt or a JSON object of settings, and lists inside prompts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "diffapple/core/error.h"
#include "diffapple/recipes/settings.h"

namespace diffapple {

/// A line that asks for pictures.
struct PromptLine {
    std::string place;  ///< "line 3"
    std::string text;
};

/// The lines of a file of prompts, without blank ones and those that begin with #. `where` names the file. Throws Error
/// where there are none, and for what is no UTF-8 text: UTF-16, or a NUL.
std::vector<PromptLine> find_prompt_lines(const std::string& content, const std::string& where);

/// Whether a line is a JSON object: a prompt with settings of its own.
bool begins_as_job(const std::string& line);

/// Every text that a prompt with lists stands for: {a|b} is a or b, __name__ is a line of name.txt in the folder; lists
/// may stand in lists. In the order of the lists, the last changing fastest. Throws Error for a missing file, and where
/// there are more than max_pictures_of_run.
std::vector<std::string> expand_wildcards(const std::string& prompt, const std::filesystem::path& folder);

/// Makes a job of every line (where --wildcards says so, of every prompt that it stands for): the options given on the
/// command line, with the line's settings in their place. A line that begins as a JSON object ({" or {}) is one: its
/// keys are the names of settings or options ("negative_prompt", "guidance", "out"), a list of values is an array or a
/// text as on the command line. `run` is what the command line alone says. Throws Error that names every bad line.
void add_jobs(RunSettings& run, const StudyExperiment& experiment, const std::vector<GivenOption>& given,
              const std::vector<PromptLine>& lines, const std::string& where);

/// A change of a recipe, as "guidance=4": names as in a line's object. Throws Error (exit code 2) for what is none.
GivenOption read_change(const std::string& text, const StudyExperiment& experiment);

/// Why lines cannot be used, gathered so that one message names them all.
class LineProblems {
public:
    /// Does `work`, whose Error is a problem of the line; "" for no line: then it is thrown as it is.
    template <typename Work>
    void gather(const std::string& place, Work work);
    /// Whether the line has a problem already.
    bool has(const std::string& place) const { return !places_.empty() && places_.back() == place; }
    /// Throws Error, where there was any.
    void fail_if_any(const std::string& where) const;

private:
    void add(const std::string& place, const Error& error);

    std::vector<std::string> places_, messages_;
    ExitCode code_ = ExitCode::failure;
};

template <typename Work>
void LineProblems::gather(const std::string& place, Work work) {
    try {
        work();
    } catch (const Error& error) {
        if (place.empty() || error.code() == ExitCode::interrupted) throw;
        add(place, error);
    }
}

}  // namespace diffapple

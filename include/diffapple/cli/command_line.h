// The words of a command line, looked at before CLI11 takes them apart, so that whoever mistypes one is told which, and
// what was probably meant. CLI11's own texts never reach a user.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace diffapple {

/// What help calls an option: its long name, else its only one.
std::string option_name(const CLI::Option& option);

/// Whether a value follows it; others are flags.
bool takes_value(const CLI::Option& option);

/// The options of a command (with names), and what it takes besides, in the order in which they were added.
std::vector<const CLI::Option*> named_options(const CLI::App& command);
std::vector<const CLI::Option*> positional_options(const CLI::App& command);

/// The words of a call without its program's name, made ready for CLI11: `help`, `version` and an empty call become
/// what they mean, options have their long names, and `~/` is the home folder. Throws Error (exit code 2) for commands
/// and options that there are not, values that are missing, words that are too many, and texts and paths that lost
/// their quotation marks.
std::vector<std::string> read_words(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace diffapple

// Defaults that a user has chosen for all runs: DIFFAPPLE_<OPTION> in the environment, else the file
// ~/.config/diffapple/config.toml, whose keys are options, in a table of a command or above all (for the experiments).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace diffapple {

/// One of them, as it goes to a command.
struct Default {
    std::string command, option;  ///< "sd15", "--steps"
    std::vector<std::string> values;
    std::string source;  ///< "DIFFAPPLE_STEPS", or the file's path
};

/// $XDG_CONFIG_HOME/diffapple/config.toml, else in ~/.config.
std::filesystem::path config_file();

/// Those of every command. Throws Error (exit code 2) for a file that cannot be read, and for keys that are no options.
std::vector<Default> find_defaults(const CLI::App& app);

/// The words (read_words) with the defaults of their command that they do not say themselves; `used` gets those.
std::vector<std::string> with_defaults(const CLI::App& app, std::vector<std::string> words, std::vector<Default>& used);

}  // namespace diffapple

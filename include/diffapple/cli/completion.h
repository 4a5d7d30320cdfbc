// What shells and man are told of the command line, made from the very commands and options that it has.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace diffapple {

std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);
std::string fish_completion(const CLI::App& app);

/// diffapple(1), in the macros of man.
std::string man_page(const CLI::App& app);

}  // namespace diffapple

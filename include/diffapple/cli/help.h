// The texts of --help, in lines that fit the terminal.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace diffapple {

/// Topic by topic, options with the names of their values; those of no group are not shown.
class HelpFormatter final : public CLI::FormatterBase {
public:
    std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
};

/// "-s, --seed LIST" as help and man page show an option.
std::string option_title(const CLI::Option& option);

/// Titles of the topics of a command's options, in the order of the options.
std::vector<std::string> topics_of(const CLI::App& command);

}  // namespace diffapple

// Options of commands beside the experiments', made in one way: with the value's name for help, and with errors that
// say what a value may be.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace diffapple {

/// What stands behind an option, or in its place, in help: "FILE", "LIST", "N".
CLI::Option* with_value(CLI::Option* option, const std::string& value);

/// A whole number from `minimum` to `maximum`, and a number. Errors name the option.
CLI::Option* add_integer_option(CLI::App* command, const std::string& name, const std::function<void(int64_t)>& set,
                                int64_t minimum, int64_t maximum, const std::string& help);
CLI::Option* add_number_option(CLI::App* command, const std::string& name, const std::function<void(double)>& set,
                               double minimum, double maximum, const std::string& help);

/// One of some words.
CLI::Option* add_choice_option(CLI::App* command, const std::string& name, std::string& value,
                               const std::vector<std::string>& choices, const std::string& help);

/// --where, repeatable (sheets/picture_filter.h).
void add_where_option(CLI::App* command, std::vector<std::string>& conditions);

/// Calls with which the command's help ends.
void add_examples(CLI::App* command, const std::vector<std::string>& calls);

}  // namespace diffapple

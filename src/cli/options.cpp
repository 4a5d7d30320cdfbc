#include "diffapple/cli/options.h"

#include <CLI/CLI.hpp>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/recipes/lists.h"

namespace diffapple {
namespace {

template <typename Value>
Value only(const std::string& option, const std::vector<Value>& values) {
    if (values.size() != 1) fail_usage(option, ": takes one value");
    return values.front();
}

}  // namespace

CLI::Option* with_value(CLI::Option* option, const std::string& value) {
    return option->option_text(value);
}

CLI::Option* add_integer_option(CLI::App* command, const std::string& name, const std::function<void(int64_t)>& set,
                                int64_t minimum, int64_t maximum, const std::string& help) {
    return with_value(
        command->add_option_function<std::string>(
            name, [=](const std::string& text) { set(only(name, parse_integers(name, text, minimum, maximum))); },
            help),
        "N");
}

CLI::Option* add_number_option(CLI::App* command, const std::string& name, const std::function<void(double)>& set,
                               double minimum, double maximum, const std::string& help) {
    return with_value(
        command->add_option_function<std::string>(
            name, [=](const std::string& text) { set(only(name, parse_numbers(name, text, minimum, maximum))); }, help),
        "NUMBER");
}

CLI::Option* add_choice_option(CLI::App* command, const std::string& name, std::string& value,
                               const std::vector<std::string>& choices, const std::string& help) {
    return with_value(
        command->add_option_function<std::string>(
            name, [=, &value](const std::string& text) { value = only(name, parse_choices(name, text, choices)); },
            help),
        join(choices, "|"));
}

void add_where_option(CLI::App* command, std::vector<std::string>& conditions) {
    with_value(command->add_option("--where", conditions, "Only pictures with this setting: steps=4; may be repeated"),
               "SETTING=VALUE")
        ->allow_extra_args(false);
}

void add_examples(CLI::App* command, const std::vector<std::string>& calls) {
    std::string text = "Examples:";
    for (const auto& call : calls) text += "\n  diffapple " + call;
    command->footer(text);
}

}  // namespace diffapple

#include "diffapple/cli/help.h"

#include <unistd.h>

#include <algorithm>

#include "diffapple/cli/command_line.h"
#include "diffapple/cli/terminal.h"
#include "diffapple/core/utf8.h"

namespace diffapple {
namespace {

constexpr size_t widest = 100, narrow = 72;

size_t width_of_help() {
    return std::clamp<size_t>(terminal_width(STDOUT_FILENO).value_or(widest), 40, widest);
}

std::string heading(const std::string& text) {
    return "\n" + bold(text + ":", STDOUT_FILENO) + "\n";
}

/// Names on the left, what they mean on the right; below each other where the terminal is narrow.
std::string rows(const std::vector<std::pair<std::string, std::string>>& entries, size_t left) {
    const size_t width = width_of_help();
    std::string text;
    for (const auto& [name, meaning] : entries) {
        const bool below = width < narrow || count_characters(name) + 2 > left;
        const size_t indent = width < narrow ? 8 : left + 2;
        text += "  " + name;
        text += below ? "\n" + std::string(indent, ' ') : std::string(left - count_characters(name), ' ');
        text += wrap_words(meaning, width, indent, indent) + "\n";
    }
    return text;
}

std::string with_default(const CLI::Option& option) {
    const std::string usual = option.get_default_str();
    return option.get_description() + (usual.empty() ? "" : " [" + usual + "]");
}

std::string help_of_program(const CLI::App& app) {
    constexpr size_t left = 16;
    std::string text = app.get_description() + "\n\nUsage: diffapple COMMAND [OPTIONS]\n" + heading("Commands");
    std::vector<std::pair<std::string, std::string>> commands;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
        commands.emplace_back(command->get_name(), command->get_description());
    text += rows(commands, left);
    text += heading("Options");
    text += rows({{"-h, --help", "This text; `diffapple COMMAND --help` shows the options of a command"},
                  {"-V, --version", "The version"}},
                 left);
    return text + "\n" + wrap_words(app.get_footer(), width_of_help(), 0) + "\n";
}

std::string usage_of(const CLI::App& command) {
    std::string usage = "Usage: diffapple " + command.get_name();
    for (const CLI::Option* option : positional_options(command)) {
        const bool several = option->get_items_expected_max() > 1, optional = !option->get_required();
        usage += (optional ? " [" : " ") + option->get_option_text() + (several ? "..." : "") + (optional ? "]" : "");
    }
    for (const CLI::Option* option : named_options(command))
        if (option->get_required()) usage += " " + option_name(*option) + " " + option->get_option_text();
    return usage + " [OPTIONS]\n";
}

std::string help_of_command(const CLI::App& command) {
    constexpr size_t left = 30;
    std::string text = wrap_words(command.get_description(), width_of_help(), 0) + "\n\n" + usage_of(command);
    std::vector<std::pair<std::string, std::string>> places;
    for (const CLI::Option* option : positional_options(command))
        places.emplace_back(option->get_option_text(), option->get_description());
    if (!places.empty()) text += "\n" + rows(places, left);
    for (const auto& topic : topics_of(command)) {
        std::vector<std::pair<std::string, std::string>> entries;
        for (const CLI::Option* option : named_options(command))
            if (option->get_group() == topic) entries.emplace_back(option_title(*option), with_default(*option));
        text += heading(topic) + rows(entries, left);
    }
    return text + (command.get_footer().empty() ? "" : "\n" + command.get_footer() + "\n");
}

}  // namespace

std::string option_title(const CLI::Option& option) {
    std::string title;
    if (!option.get_snames().empty() && !option.get_lnames().empty()) title = "-" + option.get_snames().front() + ", ";
    title += option_name(option);
    return takes_value(option) ? title + " " + option.get_option_text() : title;
}

std::vector<std::string> topics_of(const CLI::App& command) {
    std::vector<std::string> topics;
    for (const CLI::Option* option : named_options(command))
        if (const auto& group = option->get_group();
            !group.empty() && std::find(topics.begin(), topics.end(), group) == topics.end())
            topics.push_back(group);
    std::stable_partition(topics.begin(), topics.end(), [](const std::string& topic) { return topic != "Options"; });
    return topics;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string /*name*/, CLI::AppFormatMode /*mode*/) const {
    return app->get_parent() ? help_of_command(*app) : help_of_program(*app);
}

}  // namespace diffapple

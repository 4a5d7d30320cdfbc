#include "diffapple/cli/defaults.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <set>

#include "diffapple/cli/command_line.h"
#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/text.h"
#include "diffapple/study/study.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

std::vector<const CLI::App*> commands_of_app(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App*) { return true; });
}

bool is_experiment(const CLI::App& command) {
    const auto names = study_experiment_names();
    return std::find(names.begin(), names.end(), command.get_name()) != names.end();
}

/// By the key of a file: "negative_prompt" or "negative-prompt".
const CLI::Option* option_of_key(const CLI::App& command, std::string key) {
    std::replace(key.begin(), key.end(), '_', '-');
    for (const CLI::Option* option : named_options(command))
        if (option_name(*option) == "--" + key) return option;
    return nullptr;
}

std::vector<std::string> keys_of(const CLI::App& command) {
    std::vector<std::string> keys;
    for (const CLI::Option* option : named_options(command)) keys.push_back(option_name(*option).substr(2));
    return keys;
}

/// What is said of a switch.
bool is_on(const std::vector<std::string>& values, const std::string& where) {
    static const std::set<std::string> on{"true", "1", "yes", "on"}, off{"false", "0", "no", "off"};
    const std::string value = values.size() == 1 ? lower_ascii(values.front()) : "";
    if (!on.contains(value) && !off.contains(value)) fail_usage(where, ": is a switch: true or false");
    return on.contains(value);
}

/// What a file or the environment says of an option, as words: of a switch only whether it is on, of a list its
/// values with commas between them.
std::optional<Default> make_default(const CLI::App& command, const CLI::Option& option, std::vector<std::string> values,
                                    const std::string& source) {
    Default made{.command = command.get_name(), .option = option_name(option), .source = source};
    if (!takes_value(option))
        return is_on(values, concat(source, ": ", made.option)) ? std::optional(made) : std::nullopt;
    if (option.get_option_text() == "LIST") values = {join(values, ",")};
    made.values = std::move(values);
    return made;
}

/// "DIFFAPPLE_NEGATIVE_PROMPT".
std::string variable_of(const CLI::Option& option) {
    std::string name = "DIFFAPPLE_";
    for (const char c : option_name(option).substr(2))
        name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return name;
}

void add_environment(const CLI::App& app, std::vector<Default>& defaults) {
    for (const CLI::App* command : commands_of_app(app)) {
        if (!is_experiment(*command)) continue;
        for (const CLI::Option* option : named_options(*command)) {
            const std::string variable = variable_of(*option);
            const char* const value = std::getenv(variable.c_str());
            if (!value || *value == '\0' || option_name(*option) == "--help") continue;
            if (auto made = make_default(*command, *option, {value}, variable)) defaults.push_back(*made);
        }
    }
}

std::vector<CLI::ConfigItem> read_items(const fs::path& file) {
    try {
        std::ifstream stream(file);
        if (!stream) fail_usage(file.string(), ": cannot be read");
        auto items = CLI::ConfigTOML().from_config(stream);
        for (auto& item : items)
            for (auto& table : item.parents) table = trimmed(table, " ");  // [ sd15 ]
        return items;
    } catch (const CLI::Error&) {
        fail_usage(file.string(), ": cannot be read as TOML");
    }
}

/// Of one key: for the command of its table, or for all experiments that have the option.
void add_item(const CLI::App& app, const CLI::ConfigItem& item, const std::string& file,
              std::vector<Default>& defaults) {
    std::vector<std::string> names, keys;
    bool known_command = item.parents.empty(), known_key = false;
    for (const CLI::App* command : commands_of_app(app)) {
        names.push_back(command->get_name());
        const bool meant = item.parents.empty() ? is_experiment(*command) : item.parents.front() == command->get_name();
        if (!meant) continue;
        known_command = true;
        for (const auto& key : keys_of(*command)) keys.push_back(key);
        const CLI::Option* const option = option_of_key(*command, item.name);
        if (!option) continue;
        known_key = true;
        const bool given = std::any_of(defaults.begin(), defaults.end(), [&](const Default& other) {
            return other.command == command->get_name() && other.option == option_name(*option);
        });
        if (auto made = make_default(*command, *option, item.inputs, file); made && !given) defaults.push_back(*made);
    }
    if (!known_command)
        fail_usage(file, ": [", item.parents.front(), "] is no command", did_you_mean(item.parents.front(), names));
    if (!known_key) fail_usage(file, ": ", item.fullname(), " is no option", did_you_mean(item.name, keys));
}

}  // namespace

fs::path config_file() {
    const char *const folder = std::getenv("XDG_CONFIG_HOME"), *const home = std::getenv("HOME");
    if (folder && *folder != '\0') return fs::path(folder) / "diffapple" / "config.toml";
    return home ? fs::path(home) / ".config" / "diffapple" / "config.toml" : fs::path();
}

std::vector<Default> find_defaults(const CLI::App& app) {
    std::vector<Default> defaults;
    add_environment(app, defaults);
    const fs::path file = config_file();
    if (std::error_code none; file.empty() || !fs::exists(file, none)) return defaults;
    auto items = read_items(file);
    // A table of a command comes before what stands above all tables.
    std::stable_partition(items.begin(), items.end(), [](const auto& item) { return !item.parents.empty(); });
    std::set<std::string> seen;
    for (const auto& item : items)
        if (item.name != "++" && item.name != "--") {
            if (!seen.insert(item.fullname()).second)
                fail_usage(file.string(), ": ", item.fullname(), " is given twice");
            add_item(app, item, file.string(), defaults);
        }
    return defaults;
}

std::vector<std::string> with_defaults(const CLI::App& app, std::vector<std::string> words,
                                       std::vector<Default>& used) {
    if (words.empty() || words.front().starts_with('-') ||
        std::find(words.begin(), words.end(), "--help") != words.end())
        return words;
    const auto end_of_options = std::find(words.begin(), words.end(), "--");
    std::vector<std::string> added;
    for (const Default& known : find_defaults(app)) {
        if (known.command != words.front() || std::find(words.begin(), end_of_options, known.option) != end_of_options)
            continue;
        used.push_back(known);
        if (known.values.empty()) added.push_back(known.option);
        for (const auto& value : known.values) added.insert(added.end(), {known.option, value});
    }
    words.insert(words.begin() + 1, added.begin(), added.end());
    return words;
}

}  // namespace diffapple

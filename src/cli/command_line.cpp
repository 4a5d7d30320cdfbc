#include "diffapple/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/text.h"

namespace diffapple {
namespace {

using Words = std::vector<std::string>;

bool exists(const std::string& path) {
    std::error_code none;
    return std::filesystem::exists(path, none);
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

Words names_of_commands(const CLI::App& app) {
    Words names;
    for (const CLI::App* command : commands_of(app)) names.push_back(command->get_name());
    return names;
}

const CLI::App& find_command(const CLI::App& app, const std::string& word) {
    for (const CLI::App* command : commands_of(app))
        if (command->get_name() == word) return *command;
    if (word.starts_with('-'))
        fail_usage("'", word, "': the command comes first, as in `diffapple sd15 ", word,
                   "` (`diffapple --help` shows the commands)");
    fail_usage("'", word, "' is no command", did_you_mean(word, names_of_commands(app)),
               " (`diffapple --help` shows what there is)");
}

/// "--guidance_scale" as "--guidance-scale".
std::string with_hyphens(std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
}

const CLI::Option* find_option(const CLI::App& command, const std::string& word) {
    for (const CLI::Option* option : named_options(command)) {
        for (const auto& name : option->get_lnames())
            if (word == "--" + name) return option;
        for (const auto& name : option->get_snames())
            if (word == "-" + name) return option;
    }
    return nullptr;
}

Words names_of_options(const CLI::App& command) {
    Words names;
    for (const CLI::Option* option : named_options(command))
        for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    return names;
}

/// Its user knows the option, but from another command.
Words commands_with(const CLI::App& app, const std::string& option) {
    Words names;
    for (const CLI::App* command : commands_of(app))
        if (find_option(*command, option)) names.push_back(command->get_name());
    return names;
}

/// "-1" is a number, "-" is standard input.
bool looks_like_an_option(const std::string& word) {
    return word.size() > 1 && word[0] == '-' && !std::isdigit(static_cast<unsigned char>(word[1])) && word[1] != '.';
}

/// The home folder in the place of "~". A shell puts it there itself, but not within quotation marks or behind "=".
std::string with_home(const std::string& option, const std::string& path) {
    if (!path.starts_with('~')) return path;
    const char* const home = std::getenv("HOME");
    if (home && (path == "~" || path.starts_with("~/"))) return home + path.substr(1);
    if (exists(path)) return path;
    fail_usage(option, ' ', quote(path), ": ~ is not read here; write the folder's whole name");
}

bool is_path(const CLI::Option& option) {
    const std::string& value = option.get_option_text();
    return value == "FILE" || value == "DIR" || value == "ID|DIR" || value == "PLACES" || value == "MODEL";
}

/// Reads the words of one command, from left to right.
class Reader {
public:
    Reader(const CLI::App& app, const CLI::App& command, Words words)
        : app_(app), command_(command), words_(std::move(words)) {}

    Words read() {
        for (; at_ < words_.size(); ++at_) {
            const std::string& word = words_[at_];
            if (!only_places_ && word == "--") {
                only_places_ = true;
            } else if (!only_places_ && looks_like_an_option(word)) {
                if (word == "--help" || word == "-h") return {command_.get_name(), "--help"};
                read_option(word);
            } else {
                places_.push_back(word);
                if (last_option_ && words_before_place_ + 1 == at_) refuse_loose_words();
            }
        }
        check_places();
        check_required();
        if (!places_.empty()) read_.emplace_back("--");
        read_.insert(read_.end(), places_.begin(), places_.end());
        return read_;
    }

private:
    [[noreturn]] void refuse(const std::string& what) const {
        fail_usage(what, " (`diffapple ", command_.get_name(), " --help` shows its options)");
    }

    void read_option(const std::string& word) {
        const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
        const std::string typed = word.substr(0, equals), name = with_hyphens(typed);
        std::optional<std::string> value;
        if (equals != std::string::npos) value = word.substr(equals + 1);
        const CLI::Option* option = find_option(command_, name);
        if (!option && std::isdigit(static_cast<unsigned char>(word[std::min<size_t>(word.size(), 2)]))) {  // -s42
            option = find_option(command_, word.substr(0, 2));
            if (option && takes_value(*option))
                value = word.substr(2);
            else
                option = nullptr;
        }
        if (!option) refuse_unknown(typed);
        const std::string known = option_name(*option);
        if (!takes_value(*option)) {
            if (value) refuse(known + ": is a switch and takes no value");
            read_.push_back(known);
            last_option_ = nullptr;
            return;
        }
        count(*option, known);
        if (!value) value = next_value(known);
        read_.push_back(known);
        read_.push_back(is_path(*option) ? with_home(known, *value) : *value);
        last_option_ = option;
        words_before_place_ = at_;
        read_more_values(*option);
    }

    [[noreturn]] void refuse_unknown(const std::string& word) const {
        const Words others = commands_with(app_, with_hyphens(word));
        if (!others.empty())
            refuse(concat(word, ": is no option of ", command_.get_name(), ", but of ", join(others, ", ")));
        const std::string name = word.starts_with("--") ? word : "-" + word;
        refuse(concat(word, ": there is no such option", did_you_mean(with_hyphens(name), names_of_options(command_))));
    }

    std::string next_value(const std::string& option) {
        if (at_ + 1 >= words_.size()) refuse(option + ": its value is missing");
        const std::string& next = words_[at_ + 1];
        const std::string name = next.substr(0, next.find('='));
        if (looks_like_an_option(next) && find_option(command_, with_hyphens(name)))
            refuse(concat(option, ": its value is missing; ", name, " follows (a text that begins so is given as ",
                          option, "='", next, "')"));
        return words_[++at_];
    }

    /// Of an option that takes several words.
    void read_more_values(const CLI::Option& option) {
        if (option.get_expected_max() < 2 || !option.get_allow_extra_args()) return;
        last_option_ = nullptr;
        while (at_ + 1 < words_.size() && !looks_like_an_option(words_[at_ + 1])) read_.push_back(words_[++at_]);
    }

    /// Lists of the table of settings count for themselves.
    void count(const CLI::Option& option, const std::string& name) {
        if (option.get_expected_max() < 2 && ++times_[&option] > 1) refuse(name + ": is given twice");
    }

    /// Words behind an option's value, in a command that takes none (or has enough): they belonged to the value.
    void refuse_loose_words() {
        size_t most = 0;
        for (const CLI::Option* option : positional_options(command_))
            most += static_cast<size_t>(std::max(option->get_items_expected_max(), 0));
        if (most > 0) return;
        Words together{read_.back()};
        for (; at_ < words_.size() && !looks_like_an_option(words_[at_]); ++at_) together.push_back(words_[at_]);
        const std::string name = option_name(*last_option_), whole = join(together, " ");
        if (last_option_->get_option_text() == "LIST")
            refuse(concat("'", together[1], "' stands alone behind ", name, "; for a list write ", name, ' ',
                          join(together, ",")));
        refuse(concat("'", together[1], "' stands alone behind ", name, "; ",
                      exists(whole) ? "a path with spaces" : "a text of several words",
                      " needs quotation marks: ", name, " '", whole, "'"));
    }

    /// Files that exist once their words are put together again.
    void check_split_paths() const {
        for (size_t first = 0; first < places_.size(); ++first) {
            std::string whole = places_[first];
            if (exists(whole)) continue;
            for (size_t next = first + 1; next < places_.size(); ++next) {
                whole += " " + places_[next];
                if (exists(whole)) refuse(concat("a path with spaces needs quotation marks: '", whole, "'"));
            }
        }
    }

    void check_places() {
        const auto options = positional_options(command_);
        size_t most = 0;
        for (const CLI::Option* option : options) most += static_cast<size_t>(option->get_items_expected_max());
        if (std::any_of(options.begin(), options.end(), [](const auto* option) { return is_path(*option); })) {
            check_split_paths();
            for (auto& place : places_) place = with_home(command_.get_name(), place);
        }
        if (places_.size() > most)
            refuse(concat("'", places_[most], "': ", command_.get_name(),
                          most == 0 ? " takes no words beside its options"
                                    : concat(" takes ", most, " of them, not ", places_.size())));
    }

    void check_required() const {
        for (const CLI::Option* option : positional_options(command_))
            if (option->get_required() && places_.empty())
                refuse(concat(command_.get_name(), ": ", option->get_option_text(), " is missing"));
        for (const CLI::Option* option : named_options(command_))
            if (option->get_required() && times_.count(option) == 0)
                refuse(concat(command_.get_name(), ": ", option_name(*option), " is missing"));
    }

    const CLI::App &app_, &command_;
    Words words_;
    size_t at_ = 0;
    bool only_places_ = false;
    const CLI::Option* last_option_ = nullptr;  ///< whose value was the last word
    size_t words_before_place_ = 0;
    std::map<const CLI::Option*, int> times_;
    Words places_, read_{command_.get_name()};
};

}  // namespace

std::string option_name(const CLI::Option& option) {
    if (!option.get_lnames().empty()) return "--" + option.get_lnames().front();
    return option.get_snames().empty() ? option.get_option_text() : "-" + option.get_snames().front();
}

bool takes_value(const CLI::Option& option) {
    return option.get_items_expected_max() > 0;
}

std::vector<const CLI::Option*> named_options(const CLI::App& command) {
    return command.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

std::vector<const CLI::Option*> positional_options(const CLI::App& command) {
    return command.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

Words read_words(const CLI::App& app, const Words& words) {
    if (words.empty()) return {"--help"};
    const std::string first = with_hyphens(words.front());
    if (first == "--help" || first == "-h") return {"--help"};
    if (first == "--version" || first == "-V" || first == "version") return {"--version"};
    if (first == "help") {
        if (words.size() == 1 || words[1] == "help") return {"--help"};
        return {find_command(app, words[1]).get_name(), "--help"};
    }
    const CLI::App& command = find_command(app, words.front());
    return Reader(app, command, {words.begin() + 1, words.end()}).read();
}

}  // namespace diffapple

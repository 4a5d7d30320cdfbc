#include "diffapple/cli/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <sstream>

#include "diffapple/cli/command_line.h"
#include "diffapple/core/text.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {
namespace {

using Words = std::vector<std::string>;

std::vector<const CLI::App*> commands(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App*) { return true; });
}

/// Those that help shows.
std::vector<const CLI::Option*> shown_options(const CLI::App& command) {
    auto options = named_options(command);
    std::erase_if(options, [](const CLI::Option* option) { return option->get_group().empty(); });
    return options;
}

/// The words that a value may be, where they are few.
Words choices_of(const CLI::Option& option) {
    if (option_name(option) == "--scheduler") return scheduler_names();
    const std::string value = option.get_option_text();
    const bool listed = value.find('|') != std::string::npos &&
                        std::none_of(value.begin(), value.end(), [](unsigned char c) { return std::isupper(c); });
    Words choices;
    std::istringstream parts(listed ? value : "");
    for (std::string part; std::getline(parts, part, '|');) choices.push_back(part);
    return choices;
}

bool is_file_or_folder(const CLI::Option& option) {
    const std::string value = option.get_option_text();
    return value == "FILE" || value == "DIR" || value == "PLACES" || value == "MODEL" || value == "ID|DIR";
}

bool takes_files(const CLI::App& command) {
    const auto options = positional_options(command);
    return std::any_of(options.begin(), options.end(), [](const auto* option) { return is_file_or_folder(*option); });
}

/// "--seed", and "-s" where there is one.
Words spellings(const CLI::Option& option) {
    Words words;
    if (!option.get_snames().empty()) words.push_back("-" + option.get_snames().front());
    if (const std::string name = option_name(option); words.empty() || words.front() != name) words.push_back(name);
    return words;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
    return text;
}

/// Within single quotes of a shell.
std::string in_quotes(const std::string& text) {
    return "'" + replaced(text, "'", "'\\''") + "'";
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
    Words names;
    std::string options_by_command, values;
    for (const CLI::App* command : commands(app)) {
        names.push_back(command->get_name());
        Words options;
        for (const CLI::Option* option : shown_options(*command)) {
            options.push_back(option_name(*option));
            if (!takes_value(*option)) continue;
            Words patterns;
            for (const auto& word : spellings(*option))
                patterns.push_back("'" + command->get_name() + " " + word + "'");
            const Words choices = choices_of(*option);
            values += "        " + join(patterns, "|") + ") " +
                      (choices.empty() ? "return ;;" : "words='" + join(choices, " ") + "' ;;") + "\n";
        }
        options_by_command += "        " + command->get_name() + ") words='" + join(options, " ") + "' ;;\n";
    }
    return "# bash completion of diffapple, written by `diffapple completion bash`. Files are completed by bash "
           "itself.\n"
           "_diffapple() {\n"
           "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=''\n"
           "    COMPREPLY=()\n"
           "    case \"${COMP_WORDS[1]} $previous\" in\n" +
           values +
           "    esac\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        words='" +
           join(names, " ") +
           " --help --version'\n"
           "    elif [ -z \"$words\" ]; then\n"
           "        [[ $current == -* ]] || return\n"
           "        case \"${COMP_WORDS[1]}\" in\n" +
           options_by_command +
           "        esac\n"
           "    fi\n"
           "    while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -W \"$words\" -- \"$current\")\n"
           "}\n"
           "complete -o bashdefault -o default -F _diffapple diffapple\n";
}

namespace {

/// '(-s --seed)'{-s,--seed}'[Seeds]:LIST:(a b)'
std::string zsh_specification(const CLI::Option& option) {
    const auto escaped = [](std::string text) {
        for (const char* const special : {"\\", "[", "]", ":"})
            text = replaced(text, special, std::string("\\") + special);
        return replaced(text, "'", "'\\''");
    };
    const Words words = spellings(option);
    const bool several = option.get_expected_max() > 1;
    std::string text = several ? "'*'" : words.size() > 1 ? "'(" + join(words, " ") + ")'" : "";
    text += words.size() > 1 ? "{" + join(words, ",") + "}" : words.front();
    text += "'[" + escaped(option.get_description()) + "]";
    if (takes_value(option)) {
        const Words choices = choices_of(option);
        text += ":" + escaped(option.get_option_text()) + ":";
        text += !choices.empty() ? "(" + join(choices, " ") + ")" : is_file_or_folder(option) ? "_files" : "";
    }
    return text + "'";
}

}  // namespace

std::string zsh_completion(const CLI::App& app) {
    std::string described, cases;
    for (const CLI::App* command : commands(app)) {
        described +=
            "        " + in_quotes(command->get_name() + ":" + replaced(command->get_description(), ":", "\\:")) + "\n";
        cases += "        " + command->get_name() + ")\n            _arguments";
        for (const CLI::Option* option : shown_options(*command))
            cases += " \\\n                " + zsh_specification(*option);
        if (takes_files(*command)) cases += " \\\n                '*:file:_files'";
        cases += " ;;\n";
    }
    return "#compdef diffapple\n"
           "# zsh completion of diffapple, written by `diffapple completion zsh`.\n"
           "_diffapple() {\n"
           "    local -a commands\n"
           "    commands=(\n" +
           described +
           "    )\n"
           "    if ((CURRENT == 2)); then\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    shift words\n"
           "    ((CURRENT--))\n"
           "    case $words[1] in\n" +
           cases +
           "    esac\n"
           "}\n"
           "if [ \"$funcstack[1]\" = _diffapple ]; then _diffapple \"$@\"; else compdef _diffapple diffapple; fi\n";
}

std::string fish_completion(const CLI::App& app) {
    std::string text =
        "# fish completion of diffapple, written by `diffapple completion fish`.\ncomplete -c diffapple -f\n";
    for (const CLI::App* command : commands(app))
        text += "complete -c diffapple -n __fish_use_subcommand -a " + command->get_name() + " -d " +
                in_quotes(command->get_description()) + "\n";
    for (const CLI::App* command : commands(app)) {
        const std::string here = "complete -c diffapple -n '__fish_seen_subcommand_from " + command->get_name() + "' ";
        for (const CLI::Option* option : shown_options(*command)) {
            text += here;
            for (const auto& word : spellings(*option))
                text += word.starts_with("--") ? "-l " + word.substr(2) + " " : "-s " + word.substr(1) + " ";
            const Words choices = choices_of(*option);
            if (!choices.empty())
                text += "-x -a " + in_quotes(join(choices, " ")) + " ";
            else if (takes_value(*option))
                text += is_file_or_folder(*option) ? "-r -F " : "-x ";
            text += "-d " + in_quotes(option->get_description()) + "\n";
        }
        if (takes_files(*command)) text += here + "-F\n";
    }
    return text;
}

namespace {

std::string roff(const std::string& text) {
    std::string plain = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
    return plain.starts_with('.') || plain.starts_with('\'') ? "\\&" + plain : plain;
}

std::string roff_options(const CLI::App& command) {
    std::string text;
    for (const CLI::Option* option : shown_options(command)) {
        Words names;
        for (const auto& name : option->get_snames()) names.push_back("\\fB\\-" + name + "\\fR");
        for (const auto& name : option->get_lnames()) names.push_back("\\fB" + roff("--" + name) + "\\fR");
        text += ".TP\n" + join(names, ", ");
        if (takes_value(*option)) text += " \\fI" + roff(option->get_option_text()) + "\\fR";
        const std::string usual = option->get_default_str();
        text += "\n" + roff(option->get_description() + (usual.empty() ? "" : " [" + usual + "]")) + "\n";
    }
    return text;
}

}  // namespace

std::string man_page(const CLI::App& app) {
    std::string text = ".TH DIFFAPPLE 1\n.SH NAME\ndiffapple \\- " + roff(app.get_description()) +
                       "\n.SH SYNOPSIS\n.B diffapple\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH COMMANDS\n";
    for (const CLI::App* command : commands(app)) {
        text += ".SS " + roff(command->get_name()) + "\n" + roff(command->get_description()) + "\n" +
                roff_options(*command);
        if (command->get_footer().empty()) continue;
        text += ".PP\n.nf\n";
        std::istringstream lines(command->get_footer());
        for (std::string line; std::getline(lines, line);) text += roff(line) + "\n";
        text += ".fi\n";
    }
    return text +
           ".SH ENVIRONMENT\n.TP\n.B DIFFAPPLE_\\fIOPTION\\fR\n"
           "A default of the experiments, as DIFFAPPLE_DEVICE or DIFFAPPLE_BATCH_SIZE.\n"
           ".TP\n.B HF_HUB_CACHE, HF_HOME\nWhere the Hub cache is.\n"
           ".TP\n.B DIFFAPPLE_FONT\nThe font file of contact sheets, or builtin.\n"
           ".TP\n.B DIFFAPPLE_FREE_MEMORY\nBytes to take for free memory.\n"
           ".TP\n.B NO_COLOR\nNo colours.\n"
           ".SH FILES\n.TP\n.I ~/.config/diffapple/config.toml\nDefaults: options as keys, in a table of a command or "
           "above all.\n"
           ".SH EXIT STATUS\n0 done; 2 wrong call; 3 selftest or replay found a difference; 130 interrupted; 1 "
           "anything else.\n";
}

}  // namespace diffapple

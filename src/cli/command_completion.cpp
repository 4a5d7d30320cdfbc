// `diffapple completion SHELL`: what a shell needs to complete commands and options; and the man page.
#include <CLI/CLI.hpp>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/completion.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"

namespace diffapple {
namespace {

void run(const CLI::App& app, const std::string& shell) {
    using Maker = std::string (*)(const CLI::App&);
    const std::pair<const char*, Maker> makers[] = {
        {"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}, {"man", man_page}};
    for (const auto& [name, make] : makers)
        if (shell == name) return print_data(make(app));
    fail_usage("completion '", shell, "': must be bash, zsh, fish or man",
               did_you_mean(shell, {"bash", "zsh", "fish", "man"}));
}

}  // namespace

void add_completion_command(CLI::App& app) {
    CLI::App* const command =
        app.add_subcommand("completion", "Print the completion of a shell (bash, zsh, fish), or the man page (man)");
    const auto shell = std::make_shared<std::string>();
    with_value(command->add_option("SHELL", *shell, "bash, zsh, fish or man"), "SHELL")->required();
    add_examples(command, {"completion bash > ~/.local/share/bash-completion/completions/diffapple",
                           "completion fish > ~/.config/fish/completions/diffapple.fish", "completion man | man -l -"});
    command->callback([&app, shell] { run(app, *shell); });
}

}  // namespace diffapple

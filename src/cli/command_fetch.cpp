// `diffapple fetch ID|NAME...`: models from the Hugging Face Hub.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/cli/terminal.h"
#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/tools/fetch.h"

namespace diffapple {
namespace {

struct Options {
    std::vector<std::string> names;
    FetchSettings settings;
    std::string dtype = "auto";
    bool quiet = false;
};

void describe(const FetchPlan& plan) {
    const std::string licence = plan.licence.empty() ? "licence unknown" : "licence " + plan.licence;
    print_message(concat(plan.id, " (", plan.commit.substr(0, 7), "): ", counted(plan.files, "file"), ", ",
                         format_bytes(plan.bytes), ", ", licence, "; to download ", counted(plan.missing_files, "file"),
                         ", ", format_bytes(plan.missing_bytes), ", of ", format_bytes(plan.free_bytes), " free in ",
                         plan.folder));
}

/// One bar for all files, on terminals alone.
class Bar {
public:
    ~Bar() { clear(); }
    void draw(uint64_t done, uint64_t total) {
        if (isatty(STDERR_FILENO) == 0 || total == 0) return;
        shown_ = true;
        std::fprintf(stderr, "\r%3d%%  %s of %s\033[K", static_cast<int>(done * 100 / total),
                     format_bytes(done).c_str(), format_bytes(total).c_str());
        std::fflush(stderr);
    }
    void clear() {
        if (shown_) std::fputs("\r\033[K", stderr);
        shown_ = false;
    }

private:
    bool shown_ = false;
};

/// Whether this machine's runs take half precision where nothing is said.
bool wants_half(const std::string& dtype) {
    return dtype == "auto" ? !find_device("auto").is_cpu() : dtype == "fp16";
}

void run(const Options& options) {
    FetchSettings settings = options.settings;
    settings.prefer_half = wants_half(options.dtype);
    for (const std::string& name : options.names) {
        Bar bar;
        const std::string place = fetch_model(name, settings,
                                              {.plan =
                                                   [&](const FetchPlan& plan) {
                                                       if (!options.quiet) describe(plan);
                                                   },
                                               .progress =
                                                   [&](uint64_t done, uint64_t total) {
                                                       if (!options.quiet) bar.draw(done, total);
                                                   },
                                               .note =
                                                   [&](const std::string& text) {
                                                       if (!options.quiet) print_message(text);
                                                   }});
        bar.clear();
        if (!settings.dry_run) print_path(place);
    }
}

}  // namespace

void add_fetch_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("fetch", "Download models from the Hugging Face Hub");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("MODEL", options->names,
                                   "Hub ids, files of them, or ddpm-cat, sd15, sdxl-turbo, sd2-inpaint"),
               "MODEL")
        ->required();
    with_value(command->add_option("--revision", options->settings.revision, "Branch, tag or commit"), "NAME")
        ->default_str(options->settings.revision);
    add_choice_option(command, "--dtype", options->dtype, {"auto", "fp32", "fp16"},
                      "Which weights, where there are two: auto is fp16 with a GPU")
        ->default_str(options->dtype);
    command->add_flag("--dry-run", options->settings.dry_run, "Only show what would be downloaded");
    command->add_flag("--quiet", options->quiet, "Only errors");
    add_examples(command, {"fetch ddpm-cat", "fetch sd15 sdxl-turbo --dtype fp16",
                           "fetch stabilityai/sdxl-turbo/sd_xl_turbo_1.0_fp16.safetensors --dry-run"});
    command->callback([options] { run(*options); });
}

}  // namespace diffapple

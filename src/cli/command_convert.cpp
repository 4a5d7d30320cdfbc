// `diffapple convert SOURCE DEST`: a checkpoint as one clean folder, or as one file.
#include <CLI/CLI.hpp>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/tools/convert.h"

namespace diffapple {
namespace {

struct Options {
    std::string source, dtype = "as stored", layout;
    OtherParts parts;
    ConvertSettings settings;
    bool quiet = false;
};

std::optional<c10::ScalarType> dtype_called(const std::string& name) {
    if (name == "fp16") return c10::kHalf;
    if (name == "bf16") return c10::kBFloat16;
    return name == "fp32" ? std::optional(c10::kFloat) : std::nullopt;
}

/// Whether the file tells by itself what model it is.
bool is_known_alone(const std::filesystem::path& file) {
    try {
        require_checkpoint(file.string()).file->kind();
        return true;
    } catch (const Error&) {
        return false;
    }
}

void run(const Options& options) {
    ConvertSettings settings = options.settings;
    settings.dtype = dtype_called(options.dtype);
    const bool named_as_file = settings.destination.extension() == ".safetensors";
    if (named_as_file && options.layout == "diffusers")
        fail_usage("--layout diffusers: writes a folder, and ", settings.destination.string(),
                   " is the name of a file; give another name, or leave out --layout");
    settings.single_file = options.layout.empty() ? named_as_file : options.layout == "single";
    convert_checkpoint(require_checkpoint(options.source).with(options.parts), settings,
                       [&](const std::string& component, uint64_t bytes) {
                           if (!options.quiet)
                               print_message(concat("writing ", component, " (", format_bytes(bytes), ")"));
                       });
    print_path(settings.destination);
    if (settings.single_file && !is_known_alone(settings.destination))
        print_message(concat(settings.destination.string(),
                             ": is of no size that single files are known by: to run it, add ",
                             "--config with a folder of the source's configs"));
}

}  // namespace

void add_convert_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("convert", "Write a model anew: one clean folder, or one file");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("SOURCE", options->source, "Folder, file, name under models/ or Hub id"), "SOURCE")
        ->required();
    with_value(command->add_option("DEST", options->settings.destination, "The folder, or .safetensors file, to write"),
               "DEST")
        ->required();
    add_choice_option(command, "--dtype", options->dtype, {"fp16", "bf16", "fp32"}, "Type of all weights")
        ->default_str(options->dtype);
    add_choice_option(command, "--layout", options->layout, {"diffusers", "single"},
                      "diffusers: a folder; single: a file in the original layout [as DEST is named]");
    with_value(command->add_option("--config", options->parts.config, "Configs of a single file [those of its kind]"),
               "ID|DIR");
    with_value(command->add_option("--vae", options->parts.vae, "Another VAE"), "FILE|DIR");
    command->add_flag("--quiet", options->quiet, "Only errors");
    add_examples(command, {"convert v1-5-pruned.ckpt models/v1-5 --dtype fp16",
                           "convert stabilityai/sdxl-turbo turbo.safetensors --layout single",
                           "convert model.safetensors models/mine --vae vae-ft-mse.safetensors"});
    command->callback([options] { run(*options); });
}

}  // namespace diffapple

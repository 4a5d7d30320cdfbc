// `diffapple inspect MODEL`: components, parameters, precisions, files and shapes of a model.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/tools/inspect.h"

namespace diffapple {
namespace {

using nlohmann::json;

struct Options {
    std::string model;
    OtherParts parts;
    bool tensors = false, as_json = false;
};

json tensors_to_json(const ComponentSummary& component) {
    json tensors = json::array();
    for (const auto& tensor : component.tensors)
        tensors.push_back({{"name", tensor.name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}});
    return tensors;
}

void print_summary_json(const ModelSummary& model, bool with_tensors) {
    json components = json::array();
    for (const auto& component : model.components) {
        components.push_back({{"name", component.name},
                              {"class", component.class_name},
                              {"parameters", component.parameters},
                              {"bytes", component.bytes},
                              {"dtypes", component.dtypes},
                              {"files", component.files}});
        if (with_tensors) components.back()["tensors"] = tensors_to_json(component);
    }
    json summary{{"name", model.name},
                 {"components", components},
                 {"scheduler", model.scheduler},
                 {"total_parameters", model.total_parameters},
                 {"total_bytes", model.total_bytes}};
    if (!model.kind.empty()) summary["kind"] = model.kind;
    print_json(summary);
}

std::string show_dtypes(const ComponentSummary& component) {
    std::vector<std::string> names;
    for (const auto& [name, elements] : component.dtypes) names.push_back(name);
    return join(names, ", ");
}

std::string show_shape(const std::vector<int64_t>& shape) {
    std::vector<std::string> sizes;
    for (const int64_t size : shape) sizes.push_back(std::to_string(size));
    return "[" + join(sizes, ", ") + "]";
}

void print_tensors(const ComponentSummary& component) {
    std::vector<std::vector<std::string>> rows{{component.name + " tensor", "dtype", "shape"}};
    for (const auto& tensor : component.tensors) rows.push_back({tensor.name, tensor.dtype, show_shape(tensor.shape)});
    print_result("\n" + format_table(rows));
}

void print_summary(const ModelSummary& model, bool with_tensors) {
    std::vector<std::vector<std::string>> rows{{"component", "class", "parameters", "dtype", "size", "files"}};
    for (const auto& component : model.components)
        rows.push_back({component.name, component.class_name, format_grouped(component.parameters),
                        show_dtypes(component), format_bytes(component.bytes), join(component.files, ", ")});
    if (!model.scheduler.empty()) rows.push_back({"scheduler", model.scheduler, "", "", "", ""});
    rows.push_back({"total", "", format_grouped(model.total_parameters), "", format_bytes(model.total_bytes), ""});
    const std::string kind = model.kind.empty() ? "" : ": " + model.kind + ", in one file";
    print_result(model.name + kind + "\n" + format_table(rows));
    if (!model.guessed.empty()) print_message(model.guessed);
    if (!with_tensors) return;
    for (const auto& component : model.components) print_tensors(component);
}

void run(const Options& options) {
    const ModelSummary model = inspect_model(require_checkpoint(options.model).with(options.parts));
    options.as_json ? print_summary_json(model, options.tensors) : print_summary(model, options.tensors);
}

}  // namespace

void add_inspect_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("inspect", "Show what a model's folder holds, without loading it");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("MODEL", options->model, "Folder, file, name under models/ or Hub id"), "MODEL")
        ->required();
    with_value(command->add_option("--config", options->parts.config, "Configs of a single file [those of its kind]"),
               "ID|DIR");
    with_value(command->add_option("--vae", options->parts.vae, "Another VAE"), "FILE|DIR");
    add_examples(command, {"inspect stabilityai/sdxl-turbo", "inspect ddpm-cat-demo --tensors",
                           "inspect models/my-model --json"});
    command->add_flag("--tensors", options->tensors, "Also list every tensor with its shape");
    command->add_flag("--json", options->as_json, "One JSON object on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace diffapple

// Runs one model of a checkpoint on given tensors, so that Python can compare it with its original.
//
//   run_module KIND FOLDER INPUTS OUTPUTS [--device NAME] [--dtype NAME] [--options JSON]
//
// FOLDER is the component's (config.json and weights); INPUTS and OUTPUTS are safetensors. Floating-point inputs are
// moved to the device and cast; outputs are fp32. The kinds stand in the table below.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/clip_image_processor.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/component_loading.h"
#include "diffapple/models/safety_checker.h"
#include "diffapple/models/unet_2d_condition.h"

namespace diffapple {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

struct Job {
    Component component;
    Placement placement;
    Tensors inputs;
    JsonFields options;
};

/// inputs `ids`; options as ClipTextRequest; outputs `hidden` and `pooled`.
Tensors run_clip_text(const Job& job) {
    const auto model = load_clip_text(job.component, job.placement);
    const ClipTextRequest request{.layers_skipped = job.options.integer("layers_skipped", 0, 1000, 0),
                                  .final_norm = job.options.boolean("final_norm", true),
                                  .pooled = true};
    const auto output = model->forward(job.inputs.at("ids"), request);
    return {{"hidden", output.hidden}, {"pooled", output.pooled}};
}

/// inputs `image` and `latents`, or one of them; option `tiling`; outputs `mean` and `std`, and `image`.
Tensors run_autoencoder_kl(const Job& job) {
    const auto model = load_model<AutoencoderKL, AutoencoderKLConfig>(job.component, job.placement);
    const Tiling tiling = job.options.boolean("tiling", false) ? Tiling::on : Tiling::off;
    Tensors outputs;
    if (job.inputs.contains("image")) {
        const Posterior posterior = model->encode(job.inputs.at("image"), tiling);
        outputs = {{"mean", posterior.mean}, {"std", posterior.std}};
    }
    if (job.inputs.contains("latents")) outputs["image"] = model->decode(job.inputs.at("latents"), tiling);
    return outputs;
}

/// input `pictures`, 8-bit [N, H, W, C]; the folder of the feature extractor lies beside the component's. Outputs
/// `pixels` (the preprocessed pictures), `embedding`, and `unwanted`, [N], 0 or 1.
Tensors run_safety_checker(const Job& job) {
    std::vector<Image> pictures;
    for (const auto& picture : job.inputs.at("pictures").unbind()) {
        const auto* data = picture.const_data_ptr<uint8_t>();
        pictures.push_back({.width = picture.size(1),
                            .height = picture.size(0),
                            .channels = picture.size(2),
                            .pixels = {data, data + picture.numel()}});
    }
    const auto folder = job.component.folder.parent_path();
    const auto processor = read_json_file(folder / "feature_extractor" / "preprocessor_config.json");
    const auto pixels = preprocess(pictures, ClipImageProcessorConfig::from_json(JsonFields(processor, "processor")));
    const auto model = load_safety_checker(job.component, job.placement);
    const auto placed = pixels.to(job.placement.device, job.placement.dtype);
    const auto embedding = model->embed(placed);
    at::Tensor unwanted = at::zeros({pixels.size(0)});
    const auto verdict = model->forward(placed);
    for (size_t i = 0; i < verdict.size(); ++i) unwanted[static_cast<int64_t>(i)] = verdict[i] ? 1 : 0;
    return {{"pixels", pixels}, {"embedding", embedding}, {"unwanted", unwanted}};
}

/// inputs `sample`, `text`, and `text_embeds` and `time_ids` for SDXL; option `timestep`; output `sample`. The texts
/// are encoded one by one and joined, and more samples than texts repeat them, as pipelines do.
Tensors run_unet_2d_condition(const Job& job) {
    const auto model = load_model<UNet2DConditionModel, UNet2DConditionConfig>(job.component, job.placement);
    std::vector<nn::TextContext> contexts;
    for (const auto& text : job.inputs.at("text").split(1)) contexts.push_back(model->encode_text(text));
    auto text = nn::TextContext::join(contexts);
    const auto& sample = job.inputs.at("sample");
    std::vector<int64_t> texts;
    for (int64_t i = 0; i < sample.size(0); ++i) texts.push_back(i % text.batch_size());
    text = text.select(texts);
    at::Tensor added;
    if (job.inputs.contains("time_ids"))
        added = model->embed_added(job.inputs.at("text_embeds"), job.inputs.at("time_ids"));
    return {{"sample", model->forward(sample, job.options.number("timestep", 500.0), text, added)}};
}

const std::map<std::string, Tensors (*)(const Job&)> kinds{{"clip_text", run_clip_text},
                                                           {"autoencoder_kl", run_autoencoder_kl},
                                                           {"safety_checker", run_safety_checker},
                                                           {"unet_2d_condition", run_unet_2d_condition}};

Component open_component_folder(const std::filesystem::path& folder) {
    const auto config_file = folder / "config.json";
    return {.name = folder.filename().string(),
            .config_file = config_file,
            .folder = folder,
            .config = read_json_file(config_file)};
}

Tensors read_inputs(const std::filesystem::path& file, const Placement& placement) {
    Tensors inputs;
    for (const auto& [name, stored] : open_safetensors(file)) {
        const at::Tensor tensor = stored.read().clone();
        inputs[name] = tensor.is_floating_point() ? tensor.to(placement.device, placement.dtype) : tensor;
    }
    return inputs;
}

void run(int argc, char** argv) {
    std::string kind, folder, inputs, outputs, device = "cpu", dtype = "fp32", options = "{}";
    CLI::App app("Runs one model of a checkpoint", "run_module");
    app.add_option("kind", kind)->required();
    app.add_option("folder", folder)->required();
    app.add_option("inputs", inputs)->required();
    app.add_option("outputs", outputs)->required();
    app.add_option("--device", device);
    app.add_option("--dtype", dtype);
    app.add_option("--options", options);
    app.parse(argc, argv);

    const at::InferenceMode inference;
    const c10::Device place = find_device(device);
    const Placement placement{place, find_dtype(dtype, place)};
    const auto given = parse_json(options, "--options");
    const Job job{open_component_folder(folder), placement, read_inputs(inputs, placement),
                  JsonFields(given, "--options")};
    Tensors results = kinds.at(kind)(job);
    for (auto& [name, tensor] : results) tensor = tensor.to(at::kCPU).to(at::kFloat).contiguous();
    save_safetensors(outputs, results);
}

}  // namespace
}  // namespace diffapple

int main(int argc, char** argv) {
    try {
        diffapple::run(argc, argv);
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "run_module: " << error.what() << '\n';
        return 1;
    }
}

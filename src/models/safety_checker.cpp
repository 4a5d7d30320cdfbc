#include "diffapple/models/safety_checker.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "diffapple/models/component_loading.h"

namespace diffapple {
namespace {

constexpr int64_t concepts = 17, special_concepts = 3;

/// The name of a parameter for a stored tensor's: transformers 4 nests the image encoder once more, and stores the
/// numbers 0, 1, ... of its positions.
std::optional<std::string> checker_key(const std::string& name) {
    constexpr std::string_view outer = "vision_model.", nested = "vision_model.vision_model.";
    const std::string key = name.starts_with(nested) ? name.substr(outer.size()) : name;
    if (key == "vision_model.embeddings.position_ids") return std::nullopt;
    return key;
}

}  // namespace

SafetyCheckerConfig SafetyCheckerConfig::from_json(const JsonFields& fields) {
    // As in transformers, the older key replaces the whole of the newer one.
    const std::string key = fields.has("vision_config_dict") ? "vision_config_dict" : "vision_config";
    const nlohmann::json all_defaults = nlohmann::json::object();
    const JsonFields vision = fields.has(key) ? fields.object(key) : JsonFields(all_defaults, fields.where());
    return {.vision = ClipVisionConfig::from_json(vision),
            .projection_dim = fields.integer("projection_dim", 1, 1 << 16, 512)};
}

SafetyCheckerModel::SafetyCheckerModel(const SafetyCheckerConfig& config) {
    const int64_t size = config.projection_dim;
    vision_model_ = register_module("vision_model", std::make_shared<ClipVisionModel>(config.vision));
    visual_projection_ = register_module(
        "visual_projection", std::make_shared<nn::Linear>(config.vision.encoder.hidden_size, size, /*bias=*/false));
    concept_embeds_ = nn::declare_parameter(*this, "concept_embeds", {concepts, size});
    special_care_embeds_ = nn::declare_parameter(*this, "special_care_embeds", {special_concepts, size});
    concept_embeds_weights_ = nn::declare_parameter(*this, "concept_embeds_weights", {concepts});
    special_care_embeds_weights_ = nn::declare_parameter(*this, "special_care_embeds_weights", {special_concepts});
}

namespace {

at::Tensor unit_length(const at::Tensor& embeddings) {
    constexpr double smallest_norm = 1e-12;
    return embeddings / embeddings.norm(2, 1, /*keepdim=*/true).clamp_min(smallest_norm);
}

/// Cosines less thresholds, [N, concepts], fp32 on the CPU.
at::Tensor excess(const at::Tensor& images, const at::Tensor& concept_embeds, const at::Tensor& thresholds) {
    const auto cosines = at::mm(unit_length(images), unit_length(concept_embeds).t());
    // Copied, then converted: copies from mps that convert are wrong up to LibTorch 2.13.
    return cosines.cpu().to(at::kFloat).sub(thresholds.cpu().to(at::kFloat));
}

/// Whether a score is positive when rounded to 3 decimals.
bool counts(float score) {
    return std::nearbyint(score * 1000.0F) > 0;
}

/// Scores of one picture. After a special concept that counts, all that follow it count a little earlier.
bool is_unwanted(const at::Tensor& special_scores, const at::Tensor& scores) {
    float adjustment = 0;
    for (int64_t i = 0; i < special_scores.numel(); ++i)
        if (counts(special_scores[i].item<float>() + adjustment)) adjustment = 0.01F;
    for (int64_t i = 0; i < scores.numel(); ++i)
        if (counts(scores[i].item<float>() + adjustment)) return true;
    return false;
}

}  // namespace

at::Tensor SafetyCheckerModel::embed(const at::Tensor& image) {
    return visual_projection_->forward(vision_model_->forward(image));
}

std::vector<bool> SafetyCheckerModel::forward(const at::Tensor& image) {
    const auto embedding = embed(image);
    const auto special_scores = excess(embedding, special_care_embeds_, special_care_embeds_weights_);
    const auto scores = excess(embedding, concept_embeds_, concept_embeds_weights_);
    std::vector<bool> unwanted;
    for (int64_t i = 0; i < image.size(0); ++i) unwanted.push_back(is_unwanted(special_scores[i], scores[i]));
    return unwanted;
}

namespace {

std::shared_ptr<SafetyCheckerModel> build_safety_checker(const Component& component) {
    return build_model<SafetyCheckerModel>(
        component, SafetyCheckerConfig::from_json(JsonFields(component.config, component.where())));
}

}  // namespace

std::shared_ptr<SafetyCheckerModel> load_safety_checker(const Component& component, const Placement& placement) {
    auto model = build_safety_checker(component);
    load_state(*model, open_component(component, placement), component.name, placement, checker_key);
    return model;
}

std::string check_safety_checker(const Component& component, const Placement& placement) {
    return check_state(*build_safety_checker(component), open_component(component, placement), component.name,
                       checker_key);
}

StoredTensors safety_checker_tensors(const Component& component, bool prefer_half) {
    return fitting_tensors(*build_safety_checker(component), component.open(prefer_half), component.name, checker_key);
}

}  // namespace diffapple

// The checker that came with Stable Diffusion v1: whether a picture is close to concepts that its makers did not want
// to be shown (diffusers' StableDiffusionSafetyChecker).
#pragma once

#include <memory>
#include <vector>

#include "diffapple/models/checkpoint.h"
#include "diffapple/models/clip_vision.h"
#include "diffapple/models/state_loading.h"

namespace diffapple {

/// The config.json of a safety checker: a CLIP config, of which the image half counts.
struct SafetyCheckerConfig {
    ClipVisionConfig vision;
    int64_t projection_dim;

    /// Throws Error naming file and key for a value that is wrong, absurd or not supported.
    static SafetyCheckerConfig from_json(const JsonFields& fields);
};

/// Cosines of pictures' CLIP embeddings to those of 17 concepts and of 3 that make the checker stricter with the rest.
class SafetyCheckerModel : public torch::nn::Module {
public:
    explicit SafetyCheckerModel(const SafetyCheckerConfig& config);

    /// image as for ClipVisionModel; its place in the space of the concepts, [N, projection_dim].
    at::Tensor embed(const at::Tensor& image);
    /// image as for ClipVisionModel; true for each picture with an unwanted concept.
    std::vector<bool> forward(const at::Tensor& image);

private:
    std::shared_ptr<ClipVisionModel> vision_model_;
    std::shared_ptr<nn::Linear> visual_projection_;
    at::Tensor concept_embeds_, special_care_embeds_;                  // [17 or 3, projection_dim]
    at::Tensor concept_embeds_weights_, special_care_embeds_weights_;  // thresholds, [17] and [3]
};

/// The model of a component with its weights, by the names of transformers 4 and 5.
std::shared_ptr<SafetyCheckerModel> load_safety_checker(const Component& component, const Placement& placement);

/// Throws the Error that load_safety_checker would, from headers alone. Returns check_state's note.
std::string check_safety_checker(const Component& component, const Placement& placement);

/// Its stored tensors by the names of transformers 5.
StoredTensors safety_checker_tensors(const Component& component, bool prefer_half);

}  // namespace diffapple

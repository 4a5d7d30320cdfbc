// The pictures that a run with prompts starts from: what they make of it (image to image, inpainting), at which size,
// and what becomes of its results.
#pragma once

#include <optional>
#include <string>

#include "diffapple/experiments/run_context.h"
#include "diffapple/pipelines/image_processor.h"
#include "diffapple/pipelines/inpaint.h"

namespace diffapple {

enum class LatentTask { text_to_image, image_to_image, inpaint };

class LatentInputs {
public:
    /// Reads --image and --mask. Throws Error for files that are missing or damaged, and for options and a checkpoint
    /// that do not go together.
    LatentInputs(const StudyExperiment& kind, const RunSettings& settings, const StableDiffusionConfig& config);

    LatentTask task() const { return task_; }
    /// Size of the pictures where the user names none, as diffusers' pipeline of that kind.
    PictureSize default_size() const { return default_size_; }
    /// Of that pipeline; absent for text to image.
    std::optional<double> default_strength() const;

    /// What of the pictures and of their treatment determines a result, for the recipe.
    nlohmann::json settings() const;
    /// For the names of files: the same, as far as it is off its default.
    std::vector<std::pair<std::string, std::string>> suffixes() const;

    /// Where the loop starts. The pictures are encoded once for all batches. The scheduler must outlive the result.
    Start start(StableDiffusion& model, const std::vector<int64_t>& latents_shape, PictureSize size, double strength,
                const std::optional<at::Tensor>& start_noise, const Scheduler& scheduler, NoiseSource& noise);

    /// The result with what lies outside the mask or the crop put back, as the options say.
    Image finish(const Image& result) const;
    /// image | mask | result; absent where nothing is inpainted.
    std::optional<Image> compare(const Image& result) const;

private:
    void check(const StudyExperiment& kind) const;
    void read_mask();
    void encode(StableDiffusion& model, const std::vector<int64_t>& latents_shape, PictureSize size);

    RunSettings settings_;
    LatentTask task_ = LatentTask::text_to_image;
    bool is_xl_, reads_mask_, study_inputs_;
    PictureSize default_size_;
    Image image_, mask_;  ///< the mask blurred, where asked for
    std::string image_sha256_, mask_sha256_;
    std::optional<CropRegion> crop_;
    std::optional<InpaintInputs> encoded_;
};

}  // namespace diffapple

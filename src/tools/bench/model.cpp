#include "diffapple/tools/bench/model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "diffapple/core/device.h"
#include "diffapple/io/png.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/pipelines/image_processor.h"

namespace diffapple {
namespace {

const OnLostText nobody = [](const std::string&, size_t) {};

class PipelineBench final : public BenchModel {
public:
    /// Loads and keeps all components: their loading is timed, and what is encoded is encoded more than once.
    PipelineBench(std::unique_ptr<Pipeline> pipeline, double guidance_scale)
        : pipeline_(std::move(pipeline)), guidance_{.scale = guidance_scale} {
        pipeline_->components().set_residency(Keep::all, {});
        for (const auto& [component, dtype] : pipeline_->dtypes())
            pipeline_->components().get<void>(component, {pipeline_->placement().device, dtype});
    }

    bool encode(const BenchShape& shape) override {
        if (!traits().has_prompts) return false;
        pipeline_->prepare({}, nobody);  // forgets those of the last time
        inputs_ = traits().reads_mask ? grey_picture(shape) : nullptr;
        const BatchRequest request = request_of(shape);
        std::vector<Prompt> prompts = request.prompts;
        if (guidance_.active()) prompts.push_back(request.negative_prompt);
        pipeline_->prepare(prompts, nobody);
        if (inputs_) start(request);
        synchronize(pipeline_->placement().device);
        return true;
    }

    double denoise(const BenchShape& shape, int64_t turns) override {
        const auto scheduler = make_turns(turns);
        NoiseSource noise(/*seed=*/0);
        const Denoised denoised = pipeline_->sample(request_of(shape), *scheduler, noise, [](size_t, size_t) {});
        sample_ = denoised.sample;
        return denoised.seconds;
    }

    void decode(const BenchShape&) override {
        for (const auto& image : to_images(pipeline_->decode(sample_))) encode_png(image, {});
    }

private:
    const ModelTraits& traits() const { return pipeline_->traits(); }

    /// A sampler that takes as many turns as steps; its own work is nothing beside the UNet's.
    std::unique_ptr<Scheduler> make_turns(int64_t turns) const {
        return make_scheduler(traits().has_prompts ? "ddim" : "ddpm", nlohmann::json::object(), "bench",
                              {.steps = turns});
    }

    /// All of it is painted anew.
    static std::shared_ptr<const PictureInputs> grey_picture(const BenchShape& shape) {
        PictureInputs inputs{.image = blank_image(shape.size.width, shape.size.height, 3),
                             .mask = blank_image(shape.size.width, shape.size.height, 1)};
        constexpr uint8_t grey = 128, white = 255;
        std::fill(inputs.image.pixels.begin(), inputs.image.pixels.end(), grey);
        std::fill(inputs.mask->pixels.begin(), inputs.mask->pixels.end(), white);
        return std::make_shared<PictureInputs>(std::move(inputs));
    }

    BatchRequest request_of(const BenchShape& shape) const {
        BatchRequest request{
            .pictures = shape.batch_size, .size = shape.size, .guidance = guidance_, .inputs = inputs_};
        if (!traits().has_prompts) return request;
        request.negative_prompt = {.text = "negative prompt"};
        for (int64_t i = 0; i < shape.batch_size; ++i)
            request.prompts.push_back({.text = "prompt " + std::to_string(i)});
        return request;
    }

    /// Leaves the inputs encoded, for the loops to come.
    void start(const BatchRequest& request) {
        NoiseSource noise(/*seed=*/0);
        pipeline_->start(request, *make_turns(1), noise);
    }

    std::unique_ptr<Pipeline> pipeline_;
    Guidance guidance_;
    std::shared_ptr<const PictureInputs> inputs_;
    at::Tensor sample_;
};

}  // namespace

std::unique_ptr<BenchModel> load_pipeline(std::unique_ptr<Pipeline> pipeline, double guidance_scale) {
    return std::make_unique<PipelineBench>(std::move(pipeline), guidance_scale);
}

std::vector<BenchExperiment> bench_experiments() {
    std::vector<BenchExperiment> experiments;
    for (const auto& study : study_experiments())
        experiments.push_back(study.has_prompts() ? stable_diffusion_bench(study) : ddpm_bench(study));
    return experiments;
}

bool BenchExperiment::weights_here() const {
    const auto found = find_study_checkpoint(find_study_experiment(name));
    return found && !found->is_demo();
}

BenchShape study_shape(const StudyExperiment& study) {
    return {.batch_size = study.bench.size, .size = study.bench.picture};
}

}  // namespace diffapple

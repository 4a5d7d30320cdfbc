// What `diffapple bench` measures: the experiments of the study, each with its full-size model.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/pipelines/pipeline.h"
#include "diffapple/study/study.h"

namespace diffapple {

/// What one batch consists of.
struct BenchShape {
    int64_t batch_size = 1;
    Size size;  ///< of each picture
    bool operator==(const BenchShape&) const = default;
};

/// A loaded model. For one shape, the calls come in the order encode, denoise (any number of times), decode; each
/// returns once the device is done.
class BenchModel {
public:
    virtual ~BenchModel() = default;
    /// What is made once per picture before the loop (prompts, images); false where there is nothing.
    virtual bool encode(const BenchShape& shape) = 0;
    /// Runs turns of the denoising loop and returns the seconds of the loop alone.
    virtual double denoise(const BenchShape& shape, int64_t turns) = 0;
    /// Makes the bytes of PNG files from what the last denoise left.
    virtual void decode(const BenchShape& shape) = 0;
};

/// Loads all components of a pipeline and keeps them. `guidance_scale`: of models with prompts. A UNet that reads a
/// mask gets one, and a picture.
std::unique_ptr<BenchModel> load_pipeline(std::unique_ptr<Pipeline> pipeline, double guidance_scale);

/// One experiment of the study.
struct BenchExperiment {
    std::string name;   ///< of the command
    std::string model;  ///< Hub id
    BenchShape study_shape;
    int64_t size_factor;  ///< width and height are multiples of it
    int64_t parameters;   ///< of all components
    std::function<double(const BenchShape&)> flop_per_step;
    /// Roughly, for the estimate of the time: what encode and decode compute.
    std::function<double(const BenchShape&)> flop_to_encode, flop_to_decode;
    /// Loads the model: its weights where `random` is false, else random ones of the same shapes.
    std::function<std::unique_ptr<BenchModel>(const Placement&, bool random)> load;

    /// True where the model's weights are on this machine. A demo is never taken for the study's model.
    bool weights_here() const;
};

/// All experiments of the study.
std::vector<BenchExperiment> bench_experiments();

/// The bench of an experiment without prompts (ddpm.cpp).
BenchExperiment ddpm_bench(const StudyExperiment& study);

/// The bench of an experiment with a Stable Diffusion model (stable_diffusion.cpp): inpainting where the UNet reads a
/// mask, else text to image.
BenchExperiment stable_diffusion_bench(const StudyExperiment& study);

/// What bench measures of an experiment where its user names no shape.
BenchShape study_shape(const StudyExperiment& study);

}  // namespace diffapple

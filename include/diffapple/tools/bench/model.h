// What `diffapple bench` measures: the experiments of the study, each with its full-size model.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/tools/study_configs.h"

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

/// The study's own figures: they were measured by others, with another program.
struct StudyFigures {
    std::string experiment, model;
    double memory_bytes;
    double m2_it_per_s;  ///< MacBook with an M2 and 16 GB
    double rtx_a5000_it_per_s;
};

/// The study's table.
std::vector<StudyFigures> study_figures();

/// One experiment of the study.
struct BenchExperiment {
    std::string name;   ///< as on the command line: "ddpm"
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

/// All experiments. A new one adds its function to this list (bench_model.cpp) and is a file of its own.
std::vector<BenchExperiment> bench_experiments();

/// google/ddpm-cat-256 (bench_ddpm.cpp).
BenchExperiment ddpm_bench();

/// An experiment with a Stable Diffusion model.
struct StableDiffusionStudy {
    std::string name, model;  ///< as in BenchExperiment
    StudyConfigs configs;
    double guidance_scale;
    BenchShape shape;
};

/// Its bench (bench_stable_diffusion.cpp): inpainting where the UNet reads a mask, else text to image.
BenchExperiment stable_diffusion_bench(const StableDiffusionStudy& study);

/// The study's three: sd15, sd2-inpaint, sdxl-turbo.
std::vector<StableDiffusionStudy> stable_diffusion_studies();

}  // namespace diffapple

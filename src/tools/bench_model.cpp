#include "diffapple/tools/bench_model.h"

#include "diffapple/models/checkpoint.h"

namespace diffapple {

std::vector<BenchExperiment> bench_experiments() {
    return {ddpm_bench()};
}

bool BenchExperiment::weights_here() const {
    return find_checkpoint(model).has_value();
}

std::vector<StudyFigures> study_figures() {
    return {{"ddpm", "google/ddpm-cat-256", 0.8e9, 3, 42},
            {"sd15", "stable-diffusion-v1-5/stable-diffusion-v1-5", 5e9, 1, 12},
            {"sdxl-turbo", "stabilityai/sdxl-turbo", 10e9, 0.5, 15},
            {"sd2-inpaint", "stabilityai/stable-diffusion-2-inpainting", 3e9, 1, 20}};
}

}  // namespace diffapple

#include "diffapple/tools/bench/model.h"

#include "diffapple/models/checkpoint.h"

namespace diffapple {

std::vector<BenchExperiment> bench_experiments() {
    std::vector<BenchExperiment> experiments{ddpm_bench()};
    for (const auto& study : stable_diffusion_studies()) experiments.push_back(stable_diffusion_bench(study));
    return experiments;
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

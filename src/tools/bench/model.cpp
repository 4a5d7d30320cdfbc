#include "diffapple/tools/bench/model.h"

#include "diffapple/models/checkpoint.h"

namespace diffapple {

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
    return {.batch_size = study.bench.size, .width = study.bench.picture.width, .height = study.bench.picture.height};
}

}  // namespace diffapple

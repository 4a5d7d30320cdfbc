// Models with random weights: as fast as real ones.
#pragma once

#include <memory>

#include "diffapple/models/state_loading.h"
#include "diffapple/nn/layers.h"

namespace diffapple {

template <typename Model, typename Config>
std::shared_ptr<Model> make_random(const Config& config, uint64_t seed, const Placement& placement) {
    auto model = std::make_shared<Model>(config);
    load_random_state(*model, seed, placement);
    return model;
}

/// The model, ready for many uses, as the component of a checkpoint would be.
template <typename Model>
std::shared_ptr<Model> packed(std::shared_ptr<Model> model) {
    nn::pack_weights(*model);
    return model;
}

}  // namespace diffapple

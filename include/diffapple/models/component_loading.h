// From a component's folder to a model with its weights.
#pragma once

#include <memory>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/state_loading.h"

namespace diffapple {

/// A model without weights. What its modules refuse (groups, head sizes) is said of the config's file.
template <typename Model, typename Config>
std::shared_ptr<Model> build_model(const Component& component, const Config& config) {
    try {
        return std::make_shared<Model>(config);
    } catch (const Error& error) {
        fail(component.where(), ": ", error.what());
    }
}

/// The stored weights of a component in the variant that suits the placement: half-precision files first for fp16.
inline StoredTensors open_component(const Component& component, const Placement& placement) {
    return component.open(placement.dtype == c10::kHalf);
}

/// A model whose config class has from_json, with its weights loaded.
template <typename Model, typename Config>
std::shared_ptr<Model> load_model(const Component& component, const Placement& placement) {
    const auto config = Config::from_json(JsonFields(component.config, component.where()));
    auto model = build_model<Model>(component, config);
    load_state(*model, open_component(component, placement), component.name, placement);
    return model;
}

/// Throws the Error that load_model would, from the component's config as read and the headers of its weights alone.
/// Returns check_state's note.
template <typename Model, typename Config>
std::string check_model(const Component& component, const Config& config, const Placement& placement) {
    const auto model = build_model<Model>(component, config);
    return check_state(*model, open_component(component, placement), component.name);
}

}  // namespace diffapple

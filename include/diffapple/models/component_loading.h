// From a component's folder to a model with its weights.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/process_memory.h"
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
    return open_weights(component.weights(placement.dtype == c10::kHalf));
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
template <typename Model, typename Config>
void check_model(const Component& component, const Config& config, const Placement& placement) {
    const auto model = build_model<Model>(component, config);
    check_state(*model, open_component(component, placement), component.name);
}

/// Gets the name of a component whose weights were just loaded, and how long that took.
using OnLoaded = std::function<void(const std::string& component, double seconds)>;

/// What `load` returns, with its time told to `on_loaded`.
template <typename Load>
auto timed_load(const Component& component, const OnLoaded& on_loaded, const Load& load) {
    const auto start = std::chrono::steady_clock::now();
    auto model = load();
    trim_memory();
    on_loaded(component.name, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return model;
}

/// Drops a model (its last owner) and gives its memory back to the system.
template <typename Model>
void drop(std::shared_ptr<Model>& model, c10::Device device) {
    if (!model) return;
    model.reset();
    trim_memory();
    empty_cache(device);
}

}  // namespace diffapple

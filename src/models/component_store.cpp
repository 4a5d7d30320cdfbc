#include "diffapple/models/component_store.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/process_memory.h"

namespace diffapple {

uint64_t ComponentSize::bytes(const Placement& placement) const {
    const uint64_t element = c10::elementSize(placement.dtype);
    return quantisable * (placement.weights == WeightStorage::int8 ? 1 : element) + other * element;
}

ComponentStore::ComponentStore(std::vector<ComponentDescription> components) : components_(std::move(components)) {}

const ComponentDescription* ComponentStore::find(const std::string& name) const {
    const auto found = std::find_if(components_.begin(), components_.end(),
                                    [&](const ComponentDescription& component) { return component.name == name; });
    return found == components_.end() ? nullptr : &*found;
}

const ComponentDescription& ComponentStore::description(const std::string& name) const {
    const ComponentDescription* const found = find(name);
    if (!found) fail("this model has no component '", name, "'");
    return *found;
}

bool ComponentStore::has(const std::string& name) const {
    return find(name) != nullptr;
}

std::map<std::string, StoredTensors> ComponentStore::tensors(bool prefer_half) const {
    std::map<std::string, StoredTensors> tensors;
    for (const auto& component : components_)
        if (component.tensors) tensors[component.name] = component.tensors(prefer_half);
    return tensors;
}

std::map<std::string, ComponentIdentity> ComponentStore::identify(
    c10::ScalarType dtype, const std::function<c10::ScalarType(const std::string& name)>& dtype_of) const {
    std::map<std::string, ComponentIdentity> identities;
    for (const auto& component : components_) {
        if (!component.identify) continue;
        const bool half = dtype_of(component.name) == c10::kHalf, half_before = dtype == c10::kHalf;
        const std::string before = half == half_before ? "" : component.identify(half_before).weights;
        ComponentIdentity& identity = identities[component.name] = component.identify(half);
        if (before != identity.weights) identity.weights_before = before;
    }
    return identities;
}

void ComponentStore::check(const std::function<Placement(const std::string& name)>& placement_of) {
    notes_.clear();
    for (const auto& component : components_) {
        if (!component.check) continue;
        if (const std::string note = component.check(placement_of(component.name)); !note.empty())
            notes_.push_back(note);
    }
}

ComponentSize ComponentStore::size(const std::string& name, const Placement& placement) const {
    const ComponentDescription* const component = find(name);
    return component && component->size ? component->size(placement) : ComponentSize{};
}

void ComponentStore::set_residency(Keep keep, OnLoaded on_loaded) {
    keep_ = keep;
    on_loaded_ = std::move(on_loaded);
}

bool ComponentStore::is_loaded(const std::string& name) const {
    return loaded_.contains(name);
}

void ComponentStore::drop(const std::string& name) {
    const auto found = loaded_.find(name);
    if (found == loaded_.end()) return;
    const c10::Device device = found->second.placement.device;
    loaded_.erase(found);
    trim_memory();
    empty_cache(device);
}

void ComponentStore::drop_unused(const std::string& used) {
    for (const auto& component : components_)
        if (component.name != used && keep_ < component.stays_from) drop(component.name);
}

void ComponentStore::end_batch() {
    drop_unused("");
}

std::shared_ptr<void> ComponentStore::get_any(const std::string& name, const Placement& placement) {
    const ComponentDescription& component = description(name);
    drop_unused(name);
    const auto found = loaded_.find(name);
    if (found != loaded_.end() && found->second.placement == placement) return found->second.model;
    drop(name);
    const c10::InferenceMode ordinary_tensors(
        /*enabled=*/false);  // weights are filled in, which inference mode forbids
    const auto start = std::chrono::steady_clock::now();
    auto model = component.load(placement);
    loaded_.insert_or_assign(name, Loaded{.model = model, .placement = placement});
    if (!component.size) return model;
    trim_memory();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (on_loaded_) on_loaded_(name, elapsed.count());
    return model;
}

}  // namespace diffapple

// What a checkpoint consists of, as one list: what each component says of itself in a recipe, a check that reads
// headers alone, its size, how it is loaded; and which of them are in memory.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "diffapple/io/weights.h"
#include "diffapple/models/placement.h"

namespace diffapple {

/// Which components stay in memory after their use.
enum class Keep {
    none,  ///< the last batch: each goes before the next is loaded, so the peak is the largest one
    loop,  ///< more batches follow: what every batch uses stays
    all,   ///< more prompts may follow: the text encoders stay too
};

/// Elements of a component's weights, by what --weights int8 does with them.
struct ComponentSize {
    uint64_t quantisable = 0, other = 0;
    uint64_t largest = 0;  ///< of them in one tensor, which is read, and perhaps converted, at a time
    uint64_t bytes(const Placement& placement) const;
    uint64_t largest_bytes(const Placement& placement) const { return largest * c10::elementSize(placement.dtype); }
};

/// sha256 of whatever of a component determines a picture, for recipes; "" for what it does not have.
struct ComponentIdentity {
    std::string weights;          ///< of its weight files
    std::string weights_before;   ///< what earlier versions said instead, where that is something else
    std::string config;           ///< of its config, or of the files that stand for one (a tokenizer's)
    std::string config_schema_1;  ///< what recipes of schema 1 say instead; "": they leave the component out
};

/// One component of a checkpoint. Adding one means adding its description to the list of its pipeline. All functions
/// but `load` may be empty, where there is nothing to say, check or count (bench and selftest make components from
/// nothing).
struct ComponentDescription {
    std::string name;              ///< "unet", "text_encoder_2", "tokenizer", "safety_checker", ...
    Keep stays_from = Keep::loop;  ///< the least Keep at which it stays in memory after its use
    std::function<ComponentIdentity(bool prefer_half)> identify;
    /// Throws the Error that loading would throw; returns what is to be said of its files, "" for nothing.
    std::function<std::string(const Placement&)> check;
    std::function<ComponentSize(const Placement&)> size;  ///< reads headers alone; empty: no weights
    std::function<std::shared_ptr<void>(const Placement&)> load;
    /// Its stored tensors by the names of the network's parameters; empty: no weights. Throws as `check`.
    std::function<StoredTensors(bool prefer_half)> tensors = {};
};

/// Gets the name of a component whose weights were just loaded, and how long that took. Not called for components
/// without weights.
using OnLoaded = std::function<void(const std::string& component, double seconds)>;

/// The components of one checkpoint that a run uses. Loads each when it is first asked for, tells of it, and drops what
/// is not to stay before another is loaded.
class ComponentStore {
public:
    explicit ComponentStore(std::vector<ComponentDescription> components);

    bool has(const std::string& name) const;
    /// Of every component that has weights, its stored tensors by the names of its network's parameters.
    std::map<std::string, StoredTensors> tensors(bool prefer_half) const;
    /// Of every component that has one, by its name: of the files that are read where it computes in `dtype_of` its
    /// name. Earlier versions looked at the files for the dtype of the run, `dtype`, whatever the component had.
    std::map<std::string, ComponentIdentity> identify(
        c10::ScalarType dtype, const std::function<c10::ScalarType(const std::string& name)>& dtype_of) const;
    /// Throws Error for the first component whose files do not fit. Reads no weights.
    void check(const std::function<Placement(const std::string& name)>& placement_of);
    /// What the check found that the user should know, though it is no error.
    const std::vector<std::string>& notes() const { return notes_; }
    /// Zero for a component that takes no memory worth planning.
    ComponentSize size(const std::string& name, const Placement& placement) const;

    /// For all that follows until the next call; at first, nothing is kept and nobody is told.
    void set_residency(Keep keep, OnLoaded on_loaded);
    Keep keep() const { return keep_; }

    /// The component in this placement, loaded where it is not in memory so already. Others that are not to stay, and
    /// the same one in another dtype, are dropped first: an owner outside the store keeps their memory.
    template <typename Model>
    std::shared_ptr<Model> get(const std::string& name, const Placement& placement) {
        return std::static_pointer_cast<Model>(get_any(name, placement));
    }
    bool is_loaded(const std::string& name) const;
    /// For a component that will not be used again as it is, whether it is to stay or not.
    void drop(const std::string& name);
    /// A batch is over: drops what is not to stay.
    void end_batch();

private:
    struct Loaded {
        std::shared_ptr<void> model;
        Placement placement;
    };
    const ComponentDescription* find(const std::string& name) const;  ///< null: there is none
    const ComponentDescription& description(const std::string& name) const;
    std::shared_ptr<void> get_any(const std::string& name, const Placement& placement);
    /// What is not to stay, but for the component that is about to be used.
    void drop_unused(const std::string& used);

    std::vector<ComponentDescription> components_;
    std::vector<std::string> notes_;
    std::map<std::string, Loaded> loaded_;
    Keep keep_ = Keep::none;
    OnLoaded on_loaded_;
};

}  // namespace diffapple

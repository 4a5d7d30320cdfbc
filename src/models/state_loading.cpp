#include "diffapple/models/state_loading.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <map>
#include <vector>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/process_memory.h"
#include "diffapple/core/random.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/nn/layers.h"

namespace diffapple {
namespace {

using Shape = std::vector<int64_t>;

/// A stored weight of an old LDM attention, a 1x1 convolution, stands for a linear weight.
bool is_linear_as_convolution(const Shape& stored, at::IntArrayRef expected) {
    return stored.size() == 4 && expected.size() == 2 && stored[2] == 1 && stored[3] == 1 && stored[0] == expected[0] &&
           stored[1] == expected[1];
}

StoredTensors with_current_keys(const StoredTensors& stored, const std::string& component, const KeyOfStored& key_of) {
    StoredTensors renamed;
    for (const auto& [name, tensor] : stored) {
        const auto key = key_of(name);
        if (key && !renamed.emplace(*key, tensor).second)
            fail(component, ": tensor '", *key,
                 "' is stored twice, under its old and its present name; convert the checkpoint with diffusers again");
    }
    return renamed;
}

/// Lines of a message: all are counted, the first ones are shown.
class Listed {
public:
    template <typename... Parts>
    void add(const Parts&... parts) {
        constexpr size_t most_shown = 16;
        if (count_++ < most_shown) shown_.push_back(concat(parts...));
    }
    size_t count() const { return count_; }
    /// The first ones and the number of the rest, joined by `separator`.
    std::string text(const std::string& separator) const {
        const std::string text = join(shown_, separator);
        return count_ > shown_.size() ? concat(text, separator, "and ", count_ - shown_.size(), " more") : text;
    }

private:
    std::vector<std::string> shown_;
    size_t count_ = 0;
};

/// What does not fit the module: parameters that cannot be filled, and stored tensors that fill none.
struct Misfits {
    Listed missing, wrong, unexpected;
};

Misfits find_misfits(const torch::OrderedDict<std::string, at::Tensor>& parameters, const StoredTensors& stored) {
    Misfits misfits;
    for (const auto& parameter : parameters) {
        const auto found = stored.find(parameter.key());
        const at::IntArrayRef expected = parameter.value().sizes();
        if (found == stored.end())
            misfits.missing.add("missing ", parameter.key(), ' ', expected);
        else if (at::IntArrayRef(found->second.shape) != expected &&
                 !is_linear_as_convolution(found->second.shape, expected))
            misfits.wrong.add("wrong shape ", parameter.key(), " expected ", expected, " found ",
                              at::IntArrayRef(found->second.shape));
        else if (!c10::isFloatingType(found->second.dtype))
            misfits.wrong.add("wrong type ", parameter.key(), " expected floating point found ",
                              c10::toString(found->second.dtype));
    }
    for (const auto& [name, tensor] : stored)
        if (!parameters.contains(name)) misfits.unexpected.add(quote(name), ' ', at::IntArrayRef(tensor.shape));
    return misfits;
}

/// What is said of tensors that fill no parameter; empty where there are none.
std::string describe_surplus(const std::string& component, const Listed& surplus) {
    if (surplus.count() == 0) return "";
    return concat(component, ": ", counted(surplus.count(), "tensor"), " of its weights ", is_or_are(surplus.count()),
                  " left out, having no place in the model: ", surplus.text(", "));
}

/// Returns a note on surplus tensors.
std::string require_fit(const torch::OrderedDict<std::string, at::Tensor>& parameters, const StoredTensors& tensors,
                        const std::string& component) {
    const Misfits misfits = find_misfits(parameters, tensors);
    const auto& [missing, wrong, unexpected] = misfits;
    if (missing.count() + wrong.count() == 0) return describe_surplus(component, unexpected);
    const std::string where = tensors.empty() ? "" : " (" + tensors.begin()->second.file.filename().string() + ")";
    std::vector<std::string> lists;
    for (const Listed* const list : {&missing, &wrong})
        if (list->count() > 0) lists.push_back(list->text("; "));
    if (unexpected.count() > 0) lists.push_back("unexpected " + unexpected.text("; unexpected "));
    fail(component, where, ": ", missing.count() + wrong.count() + unexpected.count(), " of ", parameters.size(),
         " tensors do not fit the config; give the config.json that belongs to these weights: ", join(lists, "; "));
}

c10::MemoryFormat format_of(const at::Tensor& tensor, c10::Device device) {
    return tensor.dim() == 4 ? image_memory_format(device) : c10::MemoryFormat::Contiguous;
}

/// Memory of the device that the CPU writes into; undefined where LibTorch does not let it.
struct SharedTensor {
    at::Tensor device, host;
};

SharedTensor share_memory(at::IntArrayRef sizes, const Placement& placement) {
    if (!placement.device.is_mps()) return {};
    auto device = at::empty(sizes, at::TensorOptions(placement.device).dtype(placement.dtype));
    auto host = libtorch::host_alias(device);
    return {std::move(device), std::move(host)};
}

/// A tensor of its own memory, in the wanted place, type and layout. On mps the CPU writes it into the device's memory:
/// a copy by the device would keep the file's pages beside it, and wait for each tensor.
at::Tensor place(const at::Tensor& tensor, const Placement& placement) {
    if (const auto [device, host] = share_memory(tensor.sizes(), placement); host.defined()) {
        host.copy_(tensor);
        return device;
    }
    return tensor.to(at::TensorOptions(placement.device).dtype(placement.dtype), /*non_blocking=*/false,
                     /*copy=*/true, format_of(tensor, placement.device));
}

/// The layers that hold their weights in 8 bits, by the names of these weights.
std::map<std::string, nn::WeightLayer*> quantised_layers(torch::nn::Module& module, const Placement& placement) {
    std::map<std::string, nn::WeightLayer*> layers;
    if (placement.weights != WeightStorage::int8) return layers;
    for (const auto& child : module.named_modules("", /*include_self=*/false))
        if (auto* const layer = child.value()->as<nn::WeightLayer>())
            if (nn::is_worth_quantising(layer->weight.sizes())) layers[child.key() + ".weight"] = layer;
    return layers;
}

/// The same of a stored tensor. One of the wanted type is read from its file straight into the device's memory, so that
/// it is in memory once.
at::Tensor place(const StoredTensor& source, at::IntArrayRef sizes, const Placement& placement) {
    if (source.read_into && source.dtype == placement.dtype)
        if (const auto [device, host] = share_memory(sizes, placement); host.defined()) {
            source.read_into(host);
            return device;
        }
    return place(source.read().reshape(sizes), placement);
}

void set_quantised(nn::WeightLayer& layer, const at::Tensor& tensor, const Placement& placement) {
    const auto quantised = nn::quantise(tensor, placement.dtype);
    layer.set_quantised({.values = place(quantised.values, {placement.device, at::kChar}),
                         .scales = place(quantised.scales, {placement.device, placement.dtype})});
}

}  // namespace

std::string current_attention_key(const std::string& key) {
    constexpr std::array<std::array<const char*, 2>, 4> renames{
        {{"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}}};
    const size_t last_dot = key.rfind('.');
    if (last_dot == std::string::npos || last_dot == 0) return key;
    const size_t previous_dot = key.rfind('.', last_dot - 1);
    const size_t begin = previous_dot == std::string::npos ? 0 : previous_dot + 1;
    for (const auto& [old_name, new_name] : renames)
        if (key.compare(begin, last_dot - begin, old_name) == 0)
            return key.substr(0, begin) + new_name + key.substr(last_dot);
    return key;
}

std::string check_state(const torch::nn::Module& module, const StoredTensors& stored, const std::string& component,
                        const KeyOfStored& key_of) {
    return require_fit(module.named_parameters(/*recurse=*/true), with_current_keys(stored, component, key_of),
                       component);
}

StoredTensors fitting_tensors(const torch::nn::Module& module, const StoredTensors& stored,
                              const std::string& component, const KeyOfStored& key_of) {
    const auto parameters = module.named_parameters(/*recurse=*/true);
    StoredTensors tensors = with_current_keys(stored, component, key_of);
    require_fit(parameters, tensors, component);
    std::erase_if(tensors, [&](const auto& item) { return !parameters.contains(item.first); });
    // An old attention's 1x1 convolutions are linear in diffusers; those around SD v1's transformers are not.
    for (auto& [name, tensor] : tensors) {
        const at::IntArrayRef shape = parameters[name].sizes();
        const bool attends = name.find(".to_") != std::string::npos;
        if (!attends || !is_linear_as_convolution(tensor.shape, shape)) continue;
        tensor.shape = shape.vec();
        tensor.read = [read = tensor.read, shape = tensor.shape] { return read().reshape(shape); };
    }
    return tensors;
}

void load_state(torch::nn::Module& module, const StoredTensors& stored, const std::string& component,
                const Placement& placement, const KeyOfStored& key_of) {
    const StoredTensors tensors = with_current_keys(stored, component, key_of);
    auto parameters = module.named_parameters(/*recurse=*/true);
    require_fit(parameters, tensors, component);
    const SeparateBlocks blocks;
    synchronize(placement.device);  // the CPU may write into memory that is used again
    const auto layers = quantised_layers(module, placement);
    for (auto& parameter : parameters) {
        check_stop();
        const StoredTensor& source = tensors.at(parameter.key());
        const auto sizes = parameter.value().sizes();
        const auto layer = layers.find(parameter.key());
        if (layer != layers.end())
            set_quantised(*layer->second, source.read().reshape(sizes), placement);
        else
            parameter.value().set_data(place(source, sizes, placement));
        source.release();
    }
}

void load_random_state(torch::nn::Module& module, uint64_t seed, const Placement& placement) {
    NoiseSource noise(seed);
    synchronize(placement.device);  // as in load_state
    for (auto& parameter : module.named_parameters(/*recurse=*/true)) {
        at::Tensor& tensor = parameter.value();
        at::Tensor values = noise.normal(tensor.sizes(), at::kCPU, at::kFloat);
        if (tensor.dim() >= 2)
            values.div_(std::sqrt(static_cast<double>(tensor[0].numel())));
        else
            values.mul_(0.1).add_(parameter.key().ends_with("weight") ? 1.0 : 0.0);
        tensor.set_data(place(values, placement));
    }
}

int64_t parameter_count(const torch::nn::Module& module) {
    int64_t count = 0;
    for (const auto& parameter : module.parameters()) count += parameter.numel();
    return count;
}

}  // namespace diffapple

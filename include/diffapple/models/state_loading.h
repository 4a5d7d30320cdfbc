// Fills a module's parameters from stored tensors: old keys renamed, everything checked, nothing kept twice.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <optional>
#include <string>

#include "diffapple/io/weights.h"
#include "diffapple/models/placement.h"

namespace diffapple {

/// Renames attention keys of old checkpoints (query, key, value, proj_attn) to to_q, to_k, to_v and to_out.0.
std::string current_attention_key(const std::string& key);

/// From the name of a stored tensor to the name of the parameter that it fills; absent for a tensor to leave out.
using KeyOfStored = std::function<std::optional<std::string>(const std::string&)>;

/// Throws one Error that counts the missing, wrongly shaped and unexpected tensors of `stored`, whose names first pass
/// through `key_of`, and names the first of each; `component` names the model in it. Unexpected ones alone are no
/// error, as in diffusers and transformers: the note that is returned ("" for none) counts them and names the first.
std::string check_state(const torch::nn::Module& module, const StoredTensors& stored, const std::string& component,
                        const KeyOfStored& key_of = current_attention_key);

/// Those of `stored` that fill a parameter, by its name, with the rank that diffusers stores them in. Throws as
/// check_state.
StoredTensors fitting_tensors(const torch::nn::Module& module, const StoredTensors& stored,
                              const std::string& component, const KeyOfStored& key_of = current_attention_key);

/// Loads `stored` into every parameter of `module`, converted to `placement` (convolution weights in the device's image
/// layout), one tensor at a time so that no second copy of the weights exists. Stored names first pass through
/// `key_of`; a stored [out, in, 1, 1] convolution is accepted for an [out, in] linear weight.
/// Throws as check_state. Obeys a stop request.
void load_state(torch::nn::Module& module, const StoredTensors& stored, const std::string& component,
                const Placement& placement, const KeyOfStored& key_of = current_attention_key);

/// Fills every parameter with random values made from a seed: weights normal with standard deviation 1/sqrt(fan in),
/// norms near 1, biases near 0 but off it. The same values for every device and dtype.
void load_random_state(torch::nn::Module& module, uint64_t seed, const Placement& placement);

/// Number of elements of all parameters of a module.
int64_t parameter_count(const torch::nn::Module& module);

}  // namespace diffapple

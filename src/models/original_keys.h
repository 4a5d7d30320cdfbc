// The names of tensors in checkpoints of the original code (CompVis' and Stability's latent-diffusion: LDM, SGM) beside
// those of diffusers, as tables. Private to the models layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "diffapple/io/weights.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/unet_2d_condition.h"

namespace diffapple {

/// Which part of a stored tensor a rule takes. OpenCLIP stores q, k and v as one matrix, and its projection transposed;
/// a matrix of the VAE's attention is stored as a 1x1 convolution, or as it is.
enum class Take { whole, convolution, transposed, first_third, second_third, last_third, nothing };

/// Names that begin with `original` begin with `current` in diffusers.
struct KeyRule {
    std::string original, current;
    Take take = Take::whole;
};
using KeyRules = std::vector<KeyRule>;

/// How the original code names the tensors of a network.
KeyRules unet_keys(const UNet2DConditionConfig& config);
KeyRules vae_keys(const AutoencoderKLConfig& config);
/// The same names without their dots, as LDM's LitEma stores the running mean of a UNet's weights. In full: "10" may be
/// "1.0" or "10".
KeyRules flat_unet_keys(const UNet2DConditionConfig& config);
/// OpenCLIP with so many layers. `all`: SDXL's second encoder; else SD v2's, which leaves out the last layer and the
/// projection.
KeyRules open_clip_keys(int64_t layers, bool all);
/// The names of transformers, but for what stable-diffusion.cpp leaves of OpenCLIP's where it converts names: the
/// projection as it was, and q, k and v in one matrix.
KeyRules clip_keys(int64_t layers);

/// The tensors of `stored` whose names begin with `prefix`, by their names in diffusers: for each, the rules with the
/// longest beginning that fits. What no rule knows keeps its name, without the prefix.
StoredTensors with_current_names(const StoredTensors& stored, const std::string& prefix, const KeyRules& rules);

/// The reverse: from names of diffusers to those of the original code, behind `prefix`. What is stored as one tensor
/// there is joined when it is read. Throws Error for a tensor that these have no name for.
StoredTensors with_original_names(const StoredTensors& current, const std::string& prefix, const KeyRules& rules);

}  // namespace diffapple

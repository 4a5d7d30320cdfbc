// Floating-point operations of a model, counted from its modules: nothing is computed, and no weights are needed.
#pragma once

#include <torch/nn/module.h>

#include "diffapple/models/unet_2d.h"
#include "diffapple/models/unet_2d_condition.h"

namespace diffapple {

/// Operations of one forward pass over a batch of height x width: convolutions, linear layers and attention, a
/// multiplication with its addition being two (as torch's FlopCounterMode counts). Norms and activations are left out.
double count_flop(const UNet2DModel& unet, int64_t batch_size, int64_t height, int64_t width);

/// The same for latents of height x width under texts of `tokens` tokens. What is computed once per prompt (keys and
/// values of the texts, SDXL's added embedding) is left out.
double count_flop(const UNet2DConditionModel& unet, int64_t batch_size, int64_t height, int64_t width,
                  int64_t tokens = 77);

}  // namespace diffapple

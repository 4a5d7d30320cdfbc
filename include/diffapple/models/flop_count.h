// Floating-point operations of a model, counted from its modules: nothing is computed, and no weights are needed.
//
// Counted are convolutions, linear layers and attention, a multiplication with its addition being two (as torch's
// FlopCounterMode counts); norms and activations are left out.
#pragma once

#include <torch/nn/module.h>

#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/models/unet_2d_condition.h"

namespace diffapple {

/// One forward pass over a batch of height x width.
double count_flop(const UNet2DModel& unet, int64_t batch_size, int64_t height, int64_t width);

/// The same for latents of height x width, under texts of `text_length` tokens. Not what is computed once per prompt:
/// the texts' keys and values, and SDXL's added embedding.
double count_flop(const UNet2DConditionModel& unet, int64_t batch_size, int64_t height, int64_t width,
                  int64_t text_length = 77);

/// Encoding and decoding of one picture of height x width pixels.
double count_encode_flop(const AutoencoderKL& vae, int64_t height, int64_t width);
double count_decode_flop(const AutoencoderKL& vae, int64_t height, int64_t width);

}  // namespace diffapple

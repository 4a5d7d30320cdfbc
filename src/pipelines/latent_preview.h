// Latents as a picture without the VAE.
#pragma once

#include <ATen/core/Tensor.h>

namespace diffapple {

/// Channels of the latents that are known.
constexpr int64_t previewed_channels = 4;

/// fp32 latents [N, 4, h, w] as the loop has them (scaled), to RGB [N, 3, h, w] in about [-1, 1]: a linear map of each
/// latent, fitted to what the family's VAE makes of it. Of SD v1 (v2's VAE has the same latents): keturn, "Decoding
/// latents to RGB without upscaling", https://discuss.huggingface.co/t/23204. Of SDXL: Timothy Alexis Vass, "Explaining
/// the SDXL latent space", https://huggingface.co/blog/TimothyAlexisVass/explaining-the-sdxl-latent-space.
at::Tensor latents_to_rgb(const at::Tensor& latents, bool is_xl);

}  // namespace diffapple

// What the parts of the self-test share: random values, the measure of an error, and the list of parts.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "diffapple/core/random.h"
#include "diffapple/tools/selftest/selftest.h"

namespace diffapple::selftest {

/// One function per part; selftest_checks() joins them.
std::vector<Check> machine_checks();    ///< facts about the device that the program relies on
std::vector<Check> operation_checks();  ///< nn/ops against formulas written here anew
std::vector<Check> block_checks();      ///< the blocks of nn/
std::vector<Check> unet_2d_checks();
std::vector<Check> unet_2d_condition_checks();
std::vector<Check> clip_text_checks();
std::vector<Check> autoencoder_kl_checks();
std::vector<Check> safety_checker_checks();
std::vector<Check> scheduler_checks();
std::vector<Check> ddpm_checks();
std::vector<Check> stable_diffusion_checks();

/// One draw of random values: on the device in the precision of the test, and the very same (already rounded) values
/// as doubles on the CPU, for the reference.
struct Values {
    at::Tensor tested, exact;
};

/// Standard normal values. Tensors of four dimensions have the image layout of the device; the exact ones are NCHW.
Values draw(NoiseSource& noise, at::IntArrayRef shape, const Placement& placement);

/// Measures `result` (on any device, in any precision) against `exact` (doubles on the CPU), a result that passed
/// through `roundings` operations one after the other. Throws Error when the shapes differ.
///
/// fp32: the largest difference, relative to the largest value of `exact`; at most 1e-4, for sums in another order and
/// Metal's faster exponentials.
/// fp16 and bf16: RMS of the difference, relative to RMS of `exact`. One rounding adds up to u = 2^-11 or 2^-9; errors
/// of one operation after the other add up like a random walk: at most 2 u sqrt(roundings). fp32 on CUDA counts as
/// fp16: LibTorch lets cuDNN convolve in TF32, whose mantissa is as long.
Comparison compare(const at::Tensor& result, const at::Tensor& exact, const Placement& placement, int64_t roundings);

/// Counts the values that differ; none may. Both tensors on any device, of one shape and dtype.
Comparison compare_exactly(const at::Tensor& result, const at::Tensor& expected);

/// A module in two copies with the same random weights: the tested one, and the reference in double on the CPU.
template <typename Module>
struct Twins {
    std::shared_ptr<Module> tested, exact;
};

/// Turns weights into doubles, NCHW.
void make_exact(torch::nn::Module& module);

template <typename Module, typename Config>
Twins<Module> make_twins(const Config& config, const Placement& placement) {
    constexpr uint64_t seed = 1;
    Twins<Module> twins{std::make_shared<Module>(config), std::make_shared<Module>(config)};
    load_random_state(*twins.tested, seed, placement);
    load_random_state(*twins.exact, seed, {at::kCPU, placement.dtype});
    make_exact(*twins.exact);
    return twins;
}

}  // namespace diffapple::selftest

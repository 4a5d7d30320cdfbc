// The self-test's list of checks, its measures, and running it.
#include "diffapple/tools/selftest/selftest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "parts.h"

namespace diffapple {

std::vector<Check> selftest_checks() {
    using namespace selftest;
    std::vector<Check> all;
    for (const auto part :
         {machine_checks, operation_checks, block_checks, unet_2d_checks, unet_2d_condition_checks, clip_text_checks,
          autoencoder_kl_checks, safety_checker_checks, scheduler_checks, ddpm_checks, stable_diffusion_checks})
        for (auto& check : part()) all.push_back(std::move(check));
    return all;
}

std::vector<c10::ScalarType> selftest_dtypes(c10::Device device) {
    if (device.is_cpu()) return {c10::kFloat, c10::kBFloat16};
    return {c10::kFloat, c10::kHalf, c10::kBFloat16};
}

namespace {

CheckResult run_check(const Check& check, const Placement& placement) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    CheckResult result{.name = check.name,
                       .dtype = check.every_dtype ? dtype_name(placement.dtype) : "-",
                       .comparison = {std::numeric_limits<double>::quiet_NaN(), 0},
                       .ok = false};
    try {
        result.comparison = check.run(placement);
        result.ok = result.comparison.ok();
    } catch (const Interrupted&) {
        throw;
    } catch (const std::exception& error) {
        result.problem = first_line(error);
    }
    result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return result;
}

}  // namespace

std::vector<CheckResult> run_checks(const std::vector<Check>& checks, c10::Device device,
                                    const std::vector<c10::ScalarType>& dtypes) {
    std::vector<CheckResult> results;
    for (const auto& check : checks)
        for (const auto dtype : check.every_dtype ? dtypes : std::vector{c10::kFloat}) {
            check_stop();
            results.push_back(run_check(check, {device, dtype}));
        }
    return results;
}

void require_all_passed(const std::vector<CheckResult>& results, c10::Device device) {
    const auto failed = [](const CheckResult& result) { return !result.ok; };
    const auto first = std::find_if(results.begin(), results.end(), failed);
    if (first == results.end()) return;
    throw Error(
        concat("selftest: ", std::count_if(first, results.end(), failed), " of ", counted(results.size(), "check"),
               " failed on ", device_name(device), ", the first being '", first->name, "' (", first->dtype,
               "); do not trust pictures made there, and please report the table"),
        ExitCode::differs);
}

namespace selftest {

Values draw(NoiseSource& noise, at::IntArrayRef shape, const Placement& placement) {
    const at::Tensor rounded = noise.normal(shape, at::kCPU, placement.dtype);
    at::Tensor tested = rounded.to(placement.device);
    if (tested.dim() == 4) tested = tested.contiguous(image_memory_format(placement.device));
    return {.tested = tested, .exact = rounded.to(at::kDouble)};
}

namespace {

double unit_roundoff(const Placement& placement) {
    return placement.dtype == at::kBFloat16 ? std::ldexp(1, -9) : std::ldexp(1, -11);
}

double rms(const at::Tensor& values) {
    return std::sqrt(values.square().mean().item<double>());
}

}  // namespace

Comparison compare(const at::Tensor& result, const at::Tensor& exact, const Placement& placement, int64_t roundings) {
    if (result.sizes() != exact.sizes()) fail("the result has shape ", result.sizes(), " instead of ", exact.sizes());
    const at::Tensor difference = result.to(at::kCPU).to(at::kDouble).sub(exact);
    if (placement.dtype == at::kFloat && !placement.device.is_cuda())
        return {difference.abs().max().item<double>() / exact.abs().max().item<double>(), 1e-4};
    return {rms(difference) / rms(exact), 2 * unit_roundoff(placement) * std::sqrt(static_cast<double>(roundings))};
}

Comparison compare_exactly(const at::Tensor& result, const at::Tensor& expected) {
    if (result.sizes() != expected.sizes() || result.scalar_type() != expected.scalar_type())
        fail("the result is ", result.scalar_type(), ' ', result.sizes(), " instead of ", expected.scalar_type(), ' ',
             expected.sizes());
    return {result.to(at::kCPU).ne(expected.to(at::kCPU)).sum().item<double>(), 0};
}

void make_exact(torch::nn::Module& module) {
    for (auto& parameter : module.parameters()) parameter.set_data(parameter.to(at::kDouble).contiguous());
}

}  // namespace selftest
}  // namespace diffapple

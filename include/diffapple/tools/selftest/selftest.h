// Checks that the program computes on a device what it should, on random weights made from seeds.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <functional>
#include <string>
#include <vector>

#include "diffapple/models/state_loading.h"

namespace diffapple {

/// How far a result is from its reference, and how far it may be. A NaN is never within the limit.
struct Comparison {
    double error;
    double limit;
    bool ok() const { return error <= limit; }
};

/// One check. It runs on the device in each precision, or only once, in fp32, where precision does not matter to it.
struct Check {
    std::string name;
    std::function<Comparison(const Placement&)> run;
    bool every_dtype = true;
};

/// All checks, in the order in which they run. A new model adds the function with its own to this list (selftest.cpp).
std::vector<Check> selftest_checks();

/// What became of one check in one precision.
struct CheckResult {
    std::string name;
    std::string dtype;  ///< "fp32", ...; "-" for a check that ran once
    Comparison comparison;
    bool ok;
    double seconds;
    std::string problem;  ///< the message of a check that threw
};

/// The precisions that are good for a device: fp32 and bf16, and fp16 off the CPU.
std::vector<c10::ScalarType> selftest_dtypes(c10::Device device);

/// Runs the checks. One that throws has failed, and the others go on. Obeys a stop request between checks.
std::vector<CheckResult> run_checks(const std::vector<Check>& checks, c10::Device device,
                                    const std::vector<c10::ScalarType>& dtypes);

/// Throws Error (exit code 3) that counts the failed checks and names the first, if any failed.
void require_all_passed(const std::vector<CheckResult>& results, c10::Device device);

}  // namespace diffapple

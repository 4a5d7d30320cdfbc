// `diffapple bench`: how fast the experiments' models run on this machine's devices, and how much memory they take.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/tools/bench/model.h"
#include "diffapple/tools/bench/result.h"

namespace diffapple {

/// What is asked for; an empty list stands for the words in its comment.
struct BenchSettings {
    std::vector<std::string> experiments;  ///< all
    std::vector<std::string> devices;      ///< every device of this machine
    std::vector<std::string> dtypes;       ///< those that are good for a device
    std::vector<int64_t> batch_sizes;      ///< the study's
    std::vector<int64_t> sizes;            ///< width = height; the study's
    int64_t steps = 2;                     ///< turns of the loop in one timing
    int64_t repeats = 5;
    bool random = false;     ///< random weights also where the checkpoint is on this machine
    bool study = false;      ///< the study's figures beside the measured ones
    bool operators = false;  ///< also the time of each operator in a step and in decoding
    double sustained_minutes = 0;
    std::optional<double> max_minutes;
};

/// Gets a line about what goes on.
using Tell = std::function<void(const std::string&)>;

/// Measures every configuration (experiment, device, dtype, batch size, size). First it says how long that takes at
/// most; what does not fit into this time is left out, and its row says so. Models that fit into memory together are
/// loaded together and their repeats interleaved. A row that fails does not stop the others; a stop request ends the
/// run with the rows so far. Throws Error (exit code 2) for sizes that an experiment cannot make.
BenchReport run_bench(const BenchSettings& settings, const Tell& tell);

/// The rows of a run before anything is measured: pending ones, and those that cannot be ("absent", "refused").
std::vector<BenchResult> plan_bench(const BenchSettings& settings, const std::vector<BenchExperiment>& experiments);

/// CPU, GPU, system and LibTorch of this machine.
BenchMachine this_machine();

}  // namespace diffapple

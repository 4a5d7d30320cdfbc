// What `diffapple bench` finds out, as data, as JSON and as CSV.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/operator_times.h"
#include "diffapple/tools/bench/model.h"

namespace diffapple {

/// Version of the JSON that bench writes and --compare reads.
constexpr int bench_schema = 1;

/// Several timings of the same work: the least, the median, and (greatest - least) / median. Not empty.
struct Timing {
    double best, median, spread;
};
Timing summarize(std::vector<double> seconds);

/// Highest memory while a configuration ran, in bytes. What other loaded models hold is not counted.
struct MemoryUse {
    std::optional<uint64_t> device;           ///< of the device's allocator; absent on the CPU
    uint64_t resident = 0;                    ///< of the process
    uint64_t swap = 0;                        ///< by how much the machine's use of swap grew
    std::optional<double> recommended_share;  ///< device / the working set that the device recommends at most
    uint64_t peak() const { return device.value_or(resident); }
};

/// A long run: a device without a fan slows down as it gets warm.
struct Sustained {
    double minutes, first_it_per_s, last_it_per_s;
};

/// A part of a long run: when it ended, its own seconds and turns of the loop.
struct Stretch {
    double end, seconds;
    int64_t turns;
};
/// Rates of the first and the last minute (or half, of a run shorter than two). A stretch counts where its middle lies.
Sustained first_and_last_minute(const std::vector<Stretch>& stretches);

/// What became of a row: `pending` rows were not reached.
enum class BenchStatus { pending, measured, absent, refused, failed, out_of_time };
std::string status_name(BenchStatus status);

/// One row.
struct BenchResult {
    std::string experiment, model, device, dtype;
    bool random_weights = true;
    BenchShape shape;
    int64_t steps = 0;    ///< turns of the loop in one timing
    int64_t repeats = 0;  ///< timings asked for
    BenchStatus status = BenchStatus::pending;
    std::string note;                  ///< why there is no figure, or fewer repeats than asked for
    std::vector<double> step_seconds;  ///< seconds per turn, one of each repeat
    std::optional<double> load_seconds, encode_seconds, decode_seconds;
    std::optional<MemoryUse> load_memory;  ///< while it was loaded
    std::optional<MemoryUse> memory;
    double flop_per_step = 0;
    double gemm_flop_per_second = 0;  ///< the best seen in this run, in this dtype on this device
    std::optional<Sustained> sustained;
    std::vector<OperatorTime> step_operators, decode_operators;  ///< of one step, of decoding; only where asked for
    std::optional<StudyFigures> quoted;

    std::string title() const;  ///< "sd15 cpu bf16 512x512 batch 1"
    /// Part of the GEMM peak that the step's floating-point operations reach: best step against best GEMM. It can
    /// exceed 1, since some convolutions are faster than a matrix product.
    double gemm_share() const;
};

struct BenchMachine {
    std::string cpu, gpu, os, libtorch;  ///< gpu: "" where LibTorch sees none
    int64_t cores = 0, threads = 0;
    uint64_t memory_bytes = 0;
};

struct BenchReport {
    BenchMachine machine;
    std::vector<BenchResult> results;
    bool interrupted = false;
};

/// {"schema", "program", "machine", "results"}; what was not measured is null.
nlohmann::ordered_json to_json(const BenchReport& report);

/// The results as a CSV file (core/csv.h), one column for each key of a result's JSON, a row's machine in the first
/// columns.
std::string to_csv(const BenchReport& report);

}  // namespace diffapple

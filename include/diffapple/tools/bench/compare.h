// Results of `diffapple bench` from several machines, joined into one table and one picture.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace diffapple {

/// One measured row of a file.
struct ComparedResult {
    std::string machine;  ///< the processor that did the work
    std::string device, dtype;
    double it_per_s, ms_per_step;
    double peak_bytes;

    std::string label() const;  ///< "Apple M2, mps fp16"
};

/// Results that may be compared: the same work.
struct ComparedWork {
    std::string experiment;
    int64_t batch_size, width, height;
    std::vector<ComparedResult> results;  ///< the fastest first

    std::string title() const;  ///< "ddpm, 256x256, batch 1"
};

struct BenchComparison {
    std::vector<ComparedWork> works;

    /// Rows of text, the header first.
    std::vector<std::vector<std::string>> table() const;
    /// A picture: a bar of it/s for each result, one block of bars for each work.
    std::string svg() const;
};

/// Reads files written by `bench --json`. Rows without a figure are left out. Throws Error naming the file that is not
/// such a file, or when no file has a figure.
BenchComparison compare_benches(const std::vector<std::string>& files);

}  // namespace diffapple

// The memory that one loaded model takes while it runs, apart from what else is in the process.
#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "diffapple/core/process_memory.h"
#include "diffapple/tools/bench/result.h"

namespace diffapple {

/// Made before a model is loaded; what the process (beyond `resident_at_start`) and the device hold then belongs to
/// others and is not counted.
class MemoryMeter {
public:
    MemoryMeter(c10::Device device, uint64_t resident_at_start);

    /// Peaks count from now on.
    void restart();
    /// The peaks since restart.
    MemoryUse use() const;

private:
    c10::Device device_;
    uint64_t resident_of_others_, device_of_others_, swap_before_;
    std::unique_ptr<ResidentPeak> resident_;
};

}  // namespace diffapple

// Memory of this process and of the machine while it runs: resident, its peak over a stretch of work, swap.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace diffapple {

/// Bytes of this process that are in memory now. macOS: its physical footprint, as Activity Monitor shows it.
uint64_t resident_memory();

/// Bytes of swap that the machine has in use now, by all processes. (macOS: vm.swapusage, not tried on hardware.)
uint64_t swap_used();

/// Gives memory that was freed but is kept by the C library back to the system, so that it counts no more.
void trim_memory();

/// While it lives, blocks of 64 KiB and more come from the system one by one, which gets each back as soon as it is
/// freed. For weights: packed copies replace them layer by layer, and in a heap shared with activations their holes
/// would stay resident (SDXL: 0.5 to 1 GB). Not for activations, whose memory is better used again. glibc only; one at
/// a time.
class SeparateBlocks {
public:
    SeparateBlocks();
    ~SeparateBlocks();
    SeparateBlocks(const SeparateBlocks&) = delete;
    SeparateBlocks& operator=(const SeparateBlocks&) = delete;
};

/// The highest resident memory since this object was made. The kernel's own mark (which never falls, so a process's
/// second run would show the first's peak) is set back on Linux; where that is not possible, it counts where it rose,
/// and a thread looks every few milliseconds for lower peaks, of which it misses shorter ones. One object at a time.
class ResidentPeak {
public:
    ResidentPeak();
    ~ResidentPeak();
    ResidentPeak(const ResidentPeak&) = delete;
    ResidentPeak& operator=(const ResidentPeak&) = delete;

    uint64_t bytes() const;

private:
    void sample();

    bool kernel_counts_;
    uint64_t peak_before_;  ///< the kernel's mark at the start
    std::atomic<bool> stopped_ = false;
    std::atomic<uint64_t> sampled_ = 0;
    std::thread sampler_;
};

}  // namespace diffapple

// Memory of the stand-in mps device: ordinary host memory, counted as a real device's allocator counts its own.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Storage.h>

#include <cstddef>
#include <mutex>

namespace diffapple::standin_mps {

/// Host memory behind a pointer of the device.
///
/// On a Mac a tensor's data pointer is the handle of a Metal buffer, which the CPU cannot read through. The stand-in's
/// pointers carry a bit that no address of a Linux process has, so that code which reads an mps tensor directly
/// crashes here as it does there. Host pointers are returned as they are.
void* host_address(const void* pointer);

class Allocator final : public c10::DeviceAllocator {
public:
    c10::DataPtr allocate(size_t bytes) override;

    /// Makes memory that a CPU kernel has allocated the device's, without copying it.
    /// Like every allocation it throws c10::OutOfMemoryError when the device has not enough left.
    c10::DataPtr adopt(c10::Storage host_memory);

    void copy_data(void* destination, const void* source, size_t bytes) const override;
    bool initialized() override { return true; }
    void emptyCache(c10::MempoolId_t) override {}
    void recordStream(const c10::DataPtr&, c10::Stream) override {}

    c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override;
    void resetAccumulatedStats(c10::DeviceIndex) override;
    void resetPeakStats(c10::DeviceIndex) override;

    size_t current_bytes() const;

    /// Bytes that Metal would recommend as the largest working set: those of a Mac with 16 GB, or the environment
    /// variable DIFFAPPLE_STANDIN_MPS_MEMORY.
    static size_t recommended_bytes();

private:
    struct Block;

    void check_room_for(size_t bytes) const;
    void reserve(size_t bytes);
    void release(size_t bytes);

    mutable std::mutex mutex_;
    c10::CachingAllocator::Stat allocated_bytes_;
};

/// The device's only allocator; it lives until the process ends, as tensors in static variables may.
Allocator& allocator();

}  // namespace diffapple::standin_mps

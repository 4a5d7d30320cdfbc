// Devices: finding one by name, waiting for it, its memory, and the tensor layout that suits it.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/MemoryFormat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace c10 {
struct Event;
}

namespace diffapple {

/// Resolves "auto" (mps, else cuda, else cpu), "mps", "cuda", "cuda:N" or "cpu" to a device of this machine.
/// Throws Error: exit code 2 for a name that is none of these, 1 for a device this machine or LibTorch lacks.
c10::Device find_device(const std::string& name);

/// "cpu", "mps", "cuda:0": the name under which find_device finds this device again.
std::string device_name(c10::Device device);

/// The model of a device's chip, "" where the system does not tell.
std::string device_model(c10::Device device);

/// Blocks until all work queued on the device is done (nothing to do on the CPU).
void synchronize(c10::Device device);

/// Starts what is queued on the device without waiting for it. On mps, what is queued later is then encoded while it
/// runs: called after each block of a large model. $DIFFAPPLE_MPS_COMMIT=off leaves it out; nothing to do elsewhere.
void commit(c10::Device device);

/// A place in the device's queue, which has been passed once all that was queued before it is done. Asking does not
/// wait.
class QueueMark {
public:
    /// At the end of the queue.
    explicit QueueMark(c10::Device device);
    bool passed() const;

private:
    std::shared_ptr<c10::Event> event_;  ///< null where nothing is queued (cpu)
};

/// Returns cached, unused memory of the device to the system.
void empty_cache(c10::Device device);

/// The same between two stages of a run (encoding, the loop, decoding), where the memory is the whole machine's (mps,
/// cpu): the cache keeps what the stage before was the last to need. Elsewhere the cache is left alone.
void end_stage(c10::Device device);

/// Layout of image tensors and convolution weights: channels_last on cpu and cuda, where convolutions are faster in
/// it; contiguous (NCHW) on mps, whose conv2d reads a weight in another layout wrongly.
c10::MemoryFormat image_memory_format(c10::Device device);

/// A device as `diffapple devices` shows it. Memory in bytes; absent where the device does not tell.
struct DeviceInfo {
    std::string name;  ///< "cpu", "mps", "cuda:0"
    bool available = false;
    std::string description;  ///< model of the processor, or why the device is not available
    std::optional<uint64_t> total_memory;
    std::optional<uint64_t> free_memory;
    std::optional<uint64_t> recommended_memory;  ///< mps: the largest working set Metal recommends
};

/// Every kind of device the program knows, available or not; at least one entry each for mps, cuda and cpu.
std::vector<DeviceInfo> list_devices();

/// Highest memory use so far, in bytes: of the process (resident) on the CPU, of the device's allocator elsewhere.
uint64_t peak_memory(c10::Device device);

/// Bytes of memory this machine has, and bytes that a new program could use now without swapping. (macOS: all but what
/// is wired, compressed, or anonymous and not purgeable.)
uint64_t physical_memory();
uint64_t available_memory();

}  // namespace diffapple

// Registers the stand-in as LibTorch's mps device: its guard (which device is current, synchronisation) and its hooks
// (is it there, how much memory has it). There is one device, mps:0, and no queue: every operator is done on return.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Generator.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "allocator.h"
#include "counts.h"

namespace diffapple::standin_mps {
namespace {

class Guard final : public c10::impl::DeviceGuardImplInterface {
public:
    c10::DeviceType type() const override { return c10::kMPS; }
    c10::DeviceIndex deviceCount() const noexcept override { return 1; }
    c10::Device getDevice() const override { return {c10::kMPS, 0}; }
    c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
    void setDevice(c10::Device) const override {}
    void uncheckedSetDevice(c10::Device) const noexcept override {}
    c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, getDevice()); }
    c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
    c10::Stream exchangeStream(c10::Stream) const override { return getStream(getDevice()); }
    void synchronizeDevice(c10::DeviceIndex) const override { count_wait(); }

    // Everything is done on return, so that every event has passed.
    void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override { *event = this_(); }
    void block(void*, const c10::Stream&) const override {}
    bool queryEvent(void*) const override { return true; }
    void synchronizeEvent(void*) const override { count_wait(); }
    void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}

private:
    /// Some address: an event has nothing to hold.
    static void* this_() {
        static char place;
        return &place;
    }
};

/// Random operators on the device are computed by CPU kernels, but a Mac's numbers are not those that the CPU draws
/// from the same seed; so are these.
class Generator final : public at::CPUGeneratorImpl {
    void set_current_seed(uint64_t seed) override { at::CPUGeneratorImpl::set_current_seed(~seed); }
};

}  // namespace

C10_REGISTER_GUARD_IMPL(MPS, Guard)

class Hooks final : public at::MPSHooksInterface {
public:
    void init() const override {}
    bool hasMPS() const override { return true; }
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
    bool isOnMacOSorNewer(unsigned, unsigned) const override { return true; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    c10::DeviceIndex deviceCount() const override { return 1; }

    void deviceSynchronize() const override { count_wait(); }
    void commitStream() const override {}

    c10::Allocator* getMPSDeviceAllocator() const override { return &allocator(); }
    void emptyCache() const override {}
    size_t getCurrentAllocatedMemory() const override { return allocator().current_bytes(); }
    size_t getDriverAllocatedMemory() const override { return allocator().current_bytes(); }
    size_t getRecommendedMaxMemory() const override { return Allocator::recommended_bytes(); }

    const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
        static const at::Generator generator = at::make_generator<Generator>();
        return generator;
    }
};

}  // namespace diffapple::standin_mps

namespace at {

// LibTorch looks for a class of this name.
C10_REGISTER_CLASS(MPSHooksRegistry, MPSHooks, diffapple::standin_mps::Hooks)

}  // namespace at

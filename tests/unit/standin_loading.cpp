// Weights on their way to the stand-in mps device: straight from the file into the memory that CPU and device share.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "diffapple/core/device.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/nn/layers.h"

namespace diffapple {
namespace {

const at::Device kDevice(at::kMPS);

const at::Tensor& weight() {
    static const at::Tensor tensor = at::arange(6, at::kHalf).view({2, 3});
    return tensor;
}

/// A linear layer's weights in fp16, of which every reading is noted.
struct Stored {
    int mapped = 0, direct = 0;

    StoredTensor tensor(const at::Tensor& values) {
        return {.dtype = at::kHalf,
                .shape = values.sizes().vec(),
                .bytes = values.nbytes(),
                .file = "x.safetensors",
                .read = [this, values] { return ++mapped, values; },
                .read_into = [this, values](const at::Tensor& destination) { ++direct, destination.copy_(values); },
                .release = [] {}};
    }
    StoredTensors all() { return {{"weight", tensor(weight())}, {"bias", tensor(at::ones({2}, at::kHalf))}}; }
};

at::Tensor load(Stored& stored, at::ScalarType dtype) {
    nn::Linear layer(3, 2);
    load_state(layer, stored.all(), "unet", {kDevice, dtype});
    return layer.named_parameters()["weight"];
}

}  // namespace

TEST(StandinLoading, OfTheSameTypeIsReadIntoTheDevicesMemory) {
    Stored stored;
    const at::Tensor loaded = load(stored, at::kHalf);
    EXPECT_EQ(stored.direct, 2);
    EXPECT_EQ(stored.mapped, 0) << "no page of the file is mapped";
    EXPECT_TRUE(loaded.is_mps());
    EXPECT_TRUE(at::equal(loaded.cpu(), weight()));
}

TEST(StandinLoading, OfAnotherTypeIsConvertedOnItsWay) {
    Stored stored;
    const at::Tensor loaded = load(stored, at::kFloat);
    EXPECT_EQ(stored.direct, 0);
    EXPECT_EQ(stored.mapped, 2);
    EXPECT_TRUE(at::equal(loaded.cpu(), weight().to(at::kFloat)));
}

TEST(StandinLoading, WaitsForTheDeviceBeforeTheCpuWrites) {
    const at::Tensor busy = at::ones({4}, at::device(kDevice)).add_(1);
    EXPECT_THROW(libtorch::host_alias(busy), c10::Error) << "work on it is queued";
    Stored stored;
    EXPECT_TRUE(at::equal(load(stored, at::kHalf).cpu(), weight())) << "load_state waits first";
    busy.add_(1);
    synchronize(kDevice);
    const at::Tensor alias = libtorch::host_alias(busy);
    EXPECT_TRUE(alias.is_cpu());
    EXPECT_TRUE(at::equal(alias, at::full({4}, 3.0F)));
    alias.fill_(5);
    EXPECT_TRUE(at::equal(busy.cpu(), at::full({4}, 5.0F))) << "one memory";
    EXPECT_FALSE(libtorch::host_alias(at::empty({2, 3}, at::device(kDevice)).t()).defined());
}

}  // namespace diffapple

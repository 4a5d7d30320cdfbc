// The seam to LibTorch's less public parts, on a machine that may have no accelerator at all.
#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"

namespace diffapple::libtorch {
namespace {

namespace fs = std::filesystem;

fs::path temporary_file(const std::string& name) {
    return fs::temp_directory_path() / concat("diffapple-", ::getpid(), "-", name);
}

}  // namespace

TEST(LibTorch, VersionIsANumber) {
    EXPECT_EQ(version().substr(0, 2), "2.");
}

TEST(LibTorch, AsksForDevicesWithoutThrowing) {
    EXPECT_EQ(device_count(c10::DeviceType::CPU), 1);
    EXPECT_EQ(device_count(c10::DeviceType::XPU), 0);
    for (const auto type : {c10::DeviceType::CUDA, c10::DeviceType::MPS}) {
        const c10::Device device(type, 0);
        EXPECT_GE(device_count(type), 0);
        EXPECT_NO_THROW(device_model(device));
        EXPECT_NO_THROW(empty_cache(device));
        const Memory stats = memory(device);
        if (device_count(type) == 0) {
            EXPECT_FALSE(stats.total || stats.free || stats.recommended || stats.peak);
            EXPECT_THROW(synchronize(device), Error);
        } else {
            EXPECT_NO_THROW(synchronize(device));
        }
    }
}

TEST(LibTorch, TheCpuNeedsNothing) {
    const c10::Device cpu(c10::DeviceType::CPU);
    EXPECT_NO_THROW(synchronize(cpu));
    EXPECT_NO_THROW(empty_cache(cpu));
    EXPECT_EQ(device_model(cpu), "");
    EXPECT_FALSE(memory(cpu).total.has_value());
}

TEST(ZipArchive, ReadsRecords) {
    const fs::path path = temporary_file("archive");
    {
        caffe2::serialize::PyTorchStreamWriter writer(path.string());
        writer.writeRecord("data/0", "12345", 5);
        writer.writeEndOfFile();
    }
    const ZipArchive archive(path.string());
    EXPECT_TRUE(archive.has("data/0"));
    EXPECT_FALSE(archive.has("data/1"));
    EXPECT_EQ(archive.size("data/0"), 5U);
    std::string bytes(5, '\0');
    archive.read("data/0", bytes.data(), 5);
    EXPECT_EQ(bytes, "12345");
    EXPECT_THROW(archive.read("data/0", bytes.data(), 4), Error);
    EXPECT_THROW(archive.size("data/1"), Error);
    fs::remove(path);
}

TEST(ZipArchive, OtherFilesAreErrorsOfOneLine) {
    const fs::path path = temporary_file("other");
    std::ofstream(path) << "not a zip archive";
    for (const std::string& file : {path.string(), fs::temp_directory_path().string(), std::string("/nonexistent/x")}) {
        try {
            ZipArchive archive(file);
            ADD_FAILURE() << file;
        } catch (const Error& error) {
            EXPECT_EQ(std::string(error.what()).find(file), 0U);
            EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
        }
    }
    fs::remove(path);
}

}  // namespace diffapple::libtorch

// Every exception as one line and an exit code.
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <new>
#include <system_error>

#include "diffapple/cli/failure.h"
#include "diffapple/core/stop.h"

namespace diffapple {
namespace {

template <typename Throw>
Failure failure_of(Throw thrower) {
    try {
        thrower();
    } catch (const std::exception& error) {
        return describe_failure(error);
    }
    return {};
}

TEST(Failure, OwnErrorsKeepTextAndCode) {
    const Failure failure = failure_of([] { fail_usage("--x: no"); });
    EXPECT_EQ(failure.message, "--x: no");
    EXPECT_EQ(failure.code, ExitCode::usage);
    EXPECT_EQ(failure_of([] { throw Interrupted(); }).code, ExitCode::interrupted);
}

TEST(Failure, LibTorchsHaveOneLineAndNoBacktrace) {
    const Failure failure = failure_of([] { TORCH_CHECK(false, "shapes differ\nmore"); });
    EXPECT_EQ(failure.message, "LibTorch reports: shapes differ (run `diffapple selftest` to check this machine)");
    EXPECT_EQ(failure.code, ExitCode::failure);
}

TEST(Failure, OutOfMemoryHowEverItIsSaid) {
    const std::string expected = failure_of([] { throw std::bad_alloc(); }).message;
    EXPECT_TRUE(expected.starts_with("out of memory")) << expected;
    EXPECT_EQ(failure_of([] { TORCH_CHECK(false, "MPS backend out of memory"); }).message, expected);
    EXPECT_EQ(failure_of([] { TORCH_CHECK(false, "DefaultCPUAllocator: can't allocate memory"); }).message, expected);
}

TEST(Failure, OfTheStandardLibrary) {
    const std::string message =
        failure_of([] { throw std::runtime_error("could not create a primitive\nmore"); }).message;
    EXPECT_EQ(message,
              "a library reports: could not create a primitive (is memory short? `diffapple selftest` checks this "
              "machine)");
    const auto busy = std::make_error_code(std::errc::too_many_files_open);
    const auto of_file = [&] { throw std::filesystem::filesystem_error("status", "out/a", busy); };
    EXPECT_EQ(failure_of(of_file).message, "out/a: Too many open files");
}

}  // namespace
}  // namespace diffapple

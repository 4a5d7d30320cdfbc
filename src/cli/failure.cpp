#include "diffapple/cli/failure.h"

#include <c10/util/Exception.h>

#include <filesystem>
#include <new>

namespace diffapple {
namespace {

const Failure out_of_memory{
    "out of memory: there is not enough for this run; try a smaller --batch-size or size, --dtype bf16, or close other "
    "programs",
    ExitCode::failure};

/// An error of LibTorch's that no layer foresaw.
Failure describe_libtorch_error(const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    for (const char* const sign : {"out of memory", "can't allocate memory"})
        if (message.find(sign) != std::string::npos) return out_of_memory;
    return {"LibTorch reports: " + message.substr(0, message.find('\n')) +
                " (run `diffapple selftest` to check this machine)",
            ExitCode::failure};
}

}  // namespace

Failure describe_failure(const std::exception& error) {
    if (const auto* const own = dynamic_cast<const Error*>(&error)) return {own->what(), own->code()};
    if (dynamic_cast<const std::bad_alloc*>(&error)) return out_of_memory;
    if (const auto* const libtorch = dynamic_cast<const c10::Error*>(&error)) return describe_libtorch_error(*libtorch);
    if (const auto* const file = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
        return {file->path1().string() + ": " + file->code().message(), ExitCode::failure};
    return {"a library reports: " + first_line(error) + " (is memory short? `diffapple selftest` checks this machine)",
            ExitCode::failure};
}

}  // namespace diffapple

// The entry points that libFuzzer calls.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "fuzz/fuzz.h"

namespace {

const diffapple::fuzz::Target* target = nullptr;

void write_seeds(const std::string& folder) {
    std::filesystem::create_directories(folder);
    for (size_t i = 0; i < target->seeds.size(); ++i)
        std::ofstream(std::filesystem::path(folder) / ("seed" + std::to_string(i)), std::ios::binary)
            << target->seeds[i];
}

}  // namespace

/// LibTorch's containers cross the border to code without the sanitizer.
extern "C" const char* __asan_default_options() {  // NOLINT(bugprone-reserved-identifier): its name
    return "detect_odr_violation=0:detect_container_overflow=0:detect_leaks=0";
}

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    diffapple::fuzz::list_if_asked(*count, *arguments);
    constexpr std::string_view target_option = "--target=", seeds_option = "--seeds=";
    for (int i = 1; i < *count; ++i)
        if (const std::string_view word = (*arguments)[i]; word.starts_with(target_option))
            target = &diffapple::fuzz::find_target(std::string(word.substr(target_option.size())));
    if (!target) diffapple::fuzz::find_target("");
    for (int i = 1; i < *count; ++i) {
        if (const std::string_view word = (*arguments)[i]; word.starts_with(seeds_option)) {
            write_seeds(std::string(word.substr(seeds_option.size())));
            std::exit(0);
        }
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    diffapple::fuzz::accepts([&] { target->read(bytes); });
    return 0;
}

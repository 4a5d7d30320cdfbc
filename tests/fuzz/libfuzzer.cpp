// The entry points that libFuzzer calls.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "fuzz/fuzz.h"

namespace {

const diffapple::fuzz::Target* target = nullptr;

void write_inputs(const std::filesystem::path& folder, const std::string& kind,
                  const std::vector<std::string>& inputs) {
    std::filesystem::create_directories(folder);
    for (size_t i = 0; i < inputs.size(); ++i)
        std::ofstream(folder / (kind + std::to_string(i)), std::ios::binary) << inputs[i];
}

/// What stands behind the option; "" where it is not given.
std::string value_of(std::string_view option, int count, char** arguments) {
    for (int i = 1; i < count; ++i)
        if (const std::string_view word = arguments[i]; word.starts_with(option))
            return std::string(word.substr(option.size()));
    return "";
}

}  // namespace

/// LibTorch's containers cross the border to code without the sanitizer.
extern "C" const char* __asan_default_options() {  // NOLINT(bugprone-reserved-identifier): its name
    return "detect_odr_violation=0:detect_container_overflow=0:detect_leaks=0";
}

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    diffapple::fuzz::list_if_asked(*count, *arguments);
    target = &diffapple::fuzz::find_target(value_of("--target=", *count, *arguments));
    const std::string seeds = value_of("--seeds=", *count, *arguments), pack = value_of("--pack=", *count, *arguments),
                      corpus = value_of("--corpus=", *count, *arguments);
    if (!pack.empty()) diffapple::fuzz::pack_corpus(pack, corpus);
    if (!seeds.empty()) {
        write_inputs(seeds, "seed", target->seeds);
        write_inputs(seeds, "kept", diffapple::fuzz::read_corpus(corpus));
    }
    if (!pack.empty() || !seeds.empty()) std::exit(0);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    diffapple::fuzz::accepts([&] { target->read(bytes); });
    return 0;
}

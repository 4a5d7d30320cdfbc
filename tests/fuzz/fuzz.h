// A deterministic mutation fuzzer for what reads files of strangers: PROGRAM TARGET ITERATIONS SEED
// Each turn damages a valid file and reads it: that must succeed or throw diffapple::Error. Anything else (another
// exception, a crash, a finding of the sanitizers) is a bug; the input then stays behind as fuzz-<target>-<seed>.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <random>
#include <string>

#include "diffapple/core/error.h"
#include "unit/io_samples.h"

namespace diffapple {

class Mutator {
public:
    explicit Mutator(uint64_t seed) : random_(seed) {}

    size_t below(size_t limit) { return limit ? static_cast<size_t>(random_() % limit) : 0; }

    /// The text with one to eight random changes.
    std::string mutate(std::string text) {
        for (size_t count = 1 + below(1 + below(8)); count > 0; --count) change(text);
        return text;
    }

private:
    void change(std::string& text) {
        const size_t at = below(text.size()), length = below(std::min<size_t>(text.size() - at, 32) + 1);
        switch (below(8)) {
            case 0:
                text.resize(at);
                break;
            case 1:
                text.erase(at, length);
                break;
            case 2:
                text.insert(at, text.substr(below(text.size()), length));
                break;
            case 3:
                text.insert(at, below(4) + 1, static_cast<char>(random_()));
                break;
            case 4:
                overwrite(text, at, bytes_of(interesting()));
                break;
            case 5:
                overwrite(text, at, bytes_of(interesting()).substr(0, 1 + below(4)));
                break;
            case 6:
                replace_number(text, at);
                break;
            default:
                if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        }
    }

    static void overwrite(std::string& text, size_t at, const std::string& bytes) {
        text.replace(at, std::min(bytes.size(), text.size() - at), bytes);
    }

    /// Replaces the next decimal number of the text.
    void replace_number(std::string& text, size_t at) {
        const size_t begin = text.find_first_of("0123456789", at);
        if (begin == std::string::npos) return;
        const size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
        text.replace(begin, end - begin, std::to_string(static_cast<int64_t>(interesting())));
    }

    /// Numbers at which arithmetic goes wrong.
    uint64_t interesting() {
        const uint64_t power = uint64_t{1} << below(64);
        return power + below(3) - 1;
    }

    std::mt19937_64 random_;
};

/// How one kind of file is made and read.
struct Target {
    std::function<std::string(Mutator&)> make;  ///< a damaged file
    std::function<void(const std::filesystem::path&)> read;
};

inline int fuzz(const std::string& name, const Target& target, uint64_t iterations, uint64_t seed) {
    const std::filesystem::path file = std::filesystem::temp_directory_path() / concat("fuzz-", name, "-", seed);
    Mutator mutator(seed);
    uint64_t accepted = 0;
    for (uint64_t i = 0; i < iterations; ++i) {
        const std::string bytes = target.make(mutator);
        std::filesystem::remove(file);  // some file systems flush a file that is cut to nothing and written again
        std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        try {
            target.read(file);
            ++accepted;
        } catch (const Error& error) {
            if (std::string(error.what()).find('\n') == std::string::npos) continue;
            std::cerr << "iteration " << i << ": an error of several lines: " << error.what() << '\n';
            return 1;
        } catch (const std::exception& error) {
            std::cerr << "iteration " << i << ": not an Error: " << error.what() << "\ninput: " << file.string()
                      << '\n';
            return 1;
        }
    }
    std::filesystem::remove(file);
    std::cout << name << ": " << iterations << " inputs, " << accepted << " accepted, the others refused properly\n";
    return 0;
}

inline int fuzz_main(const std::string& program, const std::map<std::string, Target>& targets, int count,
                     char** arguments) {
    if (count == 4 && targets.count(arguments[1]))
        return fuzz(arguments[1], targets.at(arguments[1]), std::strtoull(arguments[2], nullptr, 10),
                    std::strtoull(arguments[3], nullptr, 10));
    std::string names;
    for (const auto& [name, target] : targets) names += (names.empty() ? "" : "|") + name;
    std::cerr << "usage: " << program << ' ' << names << " ITERATIONS SEED\n";
    return 2;
}

}  // namespace diffapple

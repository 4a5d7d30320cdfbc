// The main of a fuzz program where there is no libFuzzer: PROGRAM TARGET CORPUS AMOUNT SEED reads the seeds and every
// input of the corpus once, then damaged copies of them, the same ones for the same seed: so many, or for so long
// (20s). The input that something goes wrong with stays behind as fuzz-<target>-<seed> in the folder for temporary
// files.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>

#include "fuzz/fuzz.h"

namespace diffapple::fuzz {
namespace {

namespace fs = std::filesystem;

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
                overwrite(text, at, interesting(), sizeof(uint64_t));
                break;
            case 5:
                overwrite(text, at, interesting(), 1 + below(4));
                break;
            case 6:
                replace_number(text, at);
                break;
            default:
                if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        }
    }

    static void overwrite(std::string& text, size_t at, uint64_t number, size_t bytes) {
        std::memcpy(text.data() + at, &number, std::min(bytes, text.size() - at));
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

std::vector<std::string> inputs(const Target& target, const fs::path& corpus) {
    std::vector<std::string> all = target.seeds;
    for (std::string& input : read_corpus(corpus)) all.push_back(std::move(input));
    return all;
}

/// When enough has been read: after a number of inputs, or a number of seconds.
class Amount {
public:
    explicit Amount(const std::string& text)
        : number_(std::strtoull(text.c_str(), nullptr, 10)), is_time_(text.ends_with('s')) {}
    bool is_reached(uint64_t inputs) const {
        if (!is_time_) return inputs >= number_;
        return std::chrono::steady_clock::now() - began_ >= std::chrono::seconds(number_);
    }

private:
    uint64_t number_;
    bool is_time_;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

int run(const std::string& name, const fs::path& corpus, const Amount& amount, uint64_t seed) {
    const Target& target = find_target(name);
    const std::vector<std::string> all = inputs(target, corpus);
    const fs::path kept = fs::temp_directory_path() / concat("fuzz-", name, "-", seed);
    Mutator mutator(seed);
    uint64_t accepted = 0;
    uint64_t i = 0;
    for (; i < all.size() || !amount.is_reached(i - all.size()); ++i) {
        const std::string bytes = i < all.size() ? all[i] : mutator.mutate(all[mutator.below(all.size())]);
        std::ofstream(kept, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        try {
            accepted += accepts([&] { target.read(bytes); }) ? 1 : 0;
        } catch (const std::exception& error) {
            std::cerr << name << ", input " << i << ": " << error.what() << "\ninput: " << kept.string() << '\n';
            return 1;
        }
    }
    fs::remove(kept);
    std::cout << name << ": " << i << " inputs, " << accepted << " accepted, the others refused properly\n";
    return 0;
}

}  // namespace
}  // namespace diffapple::fuzz

/// Asked by the leak sanitizer: LibTorch's zip reader forgets its tables when it refuses an archive.
extern "C" const char* __lsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier): its name
    return "leak:mz_zip_reader_init\nleak:mz_zip_reader_read_central_dir\n";
}

int main(int count, char** arguments) {
    diffapple::fuzz::list_if_asked(count, arguments);
    if (count != 5) {
        std::cerr << "usage: " << arguments[0] << " TARGET CORPUS AMOUNT SEED | --list\n";
        return 2;
    }
    return diffapple::fuzz::run(arguments[1], arguments[2], diffapple::fuzz::Amount(arguments[3]),
                                std::strtoull(arguments[4], nullptr, 10));
}

#include "fuzz/fuzz.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>

namespace diffapple::fuzz {

namespace fs = std::filesystem;

Folder::Folder() {
    const fs::path in_memory = "/dev/shm";
    const fs::path parent = fs::is_directory(in_memory) ? in_memory : fs::temp_directory_path();
    path_ = parent / concat("diffapple-fuzz-", std::random_device()(), std::random_device()());
    fs::create_directories(path_);
}

const Folder& folder() {
    static const Folder folder;
    return folder;
}

bool accepts(const std::function<void()>& read) {
    try {
        read();
        return true;
    } catch (const Error& error) {
        const std::string message = error.what();
        if (message.find('\n') != std::string::npos) throw std::logic_error("an error of several lines: " + message);
        if (message.size() > 4096) throw std::logic_error("an error without measure: " + message.substr(0, 200));
        return false;
    }
}

std::vector<std::string> read_corpus(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::vector<std::string> inputs;
    for (uint32_t length = 0; stream.read(reinterpret_cast<char*>(&length), sizeof length);) {
        inputs.emplace_back(length, '\0');
        if (!stream.read(inputs.back().data(), length)) throw std::runtime_error(file.string() + " is cut off");
    }
    return inputs;
}

void pack_corpus(const fs::path& folder, const fs::path& file) {
    std::vector<std::string> inputs;
    for (const auto& entry : fs::directory_iterator(folder)) {
        std::ifstream stream(entry.path(), std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    }
    std::sort(inputs.begin(), inputs.end());
    std::ofstream packed(file, std::ios::binary);
    for (const auto& input : inputs) {
        const auto length = static_cast<uint32_t>(input.size());
        packed.write(reinterpret_cast<const char*>(&length), sizeof length);
        packed.write(input.data(), length);
    }
}

void list_if_asked(int count, char** arguments) {
    if (count != 2 || std::string(arguments[1]) != "--list") return;
    for (const auto& [name, target] : targets()) std::cout << name << '\n';
    std::exit(0);
}

const Target& find_target(const std::string& name) {
    if (const auto found = targets().find(name); found != targets().end()) return found->second;
    std::cerr << "no target '" << name << "'; --list names them\n";
    std::exit(2);
}

}  // namespace diffapple::fuzz

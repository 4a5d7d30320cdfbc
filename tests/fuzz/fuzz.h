// Fuzz targets: what reads a stranger's bytes. Each reads an input or throws diffapple::Error with a message of one
// line; anything else (another exception, a crash, a finding of the sanitizers, a long time) is a bug.
//
// fuzz_<layer>.cpp holds the targets of a layer; its program with --list names them. With libFuzzer (scripts/fuzz.sh)
// it is
//   fuzz_<layer> --target=NAME [libFuzzer's options] [FOLDER...]        and --target=NAME --seeds=FOLDER writes the
//   seeds, with --corpus=FILE also the inputs of a corpus; --pack=FOLDER --corpus=FILE makes one;
// elsewhere driver.cpp gives it a main that reads seeds and corpus once, and damaged copies of them.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "diffapple/core/error.h"

namespace diffapple::fuzz {

struct Target {
    std::vector<std::string> seeds;  ///< small valid inputs
    std::function<void(const std::string& bytes)> read;
};

/// By name; defined by fuzz_<layer>.cpp.
const std::map<std::string, Target>& targets();

/// A folder for this process, in memory where the system has such a place; removed in the end.
class Folder {
public:
    Folder();
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    /// Writes a file with these bytes. A new one: some file systems flush a file that is cut and written again.
    std::filesystem::path write(const std::string& name, const std::string& bytes) const {
        const std::filesystem::path path = path_ / name;
        std::filesystem::remove(path);
        std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        return path;
    }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

const Folder& folder();

/// Calls it; whether it gave no Error. Throws std::logic_error for an Error that is no line.
bool accepts(const std::function<void()>& read);

/// The inputs of a corpus: one file for a target, each input behind its length (32 bits, lowest byte first). None where
/// there is no file.
std::vector<std::string> read_corpus(const std::filesystem::path& file);

/// Makes one of a folder's files.
void pack_corpus(const std::filesystem::path& folder, const std::filesystem::path& file);

/// Prints the names and exits, where that is what the arguments ask for.
void list_if_asked(int count, char** arguments);

/// The target; exits with a line where there is none of that name.
const Target& find_target(const std::string& name);

}  // namespace diffapple::fuzz

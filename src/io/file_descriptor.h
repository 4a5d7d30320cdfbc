// A POSIX file descriptor that closes itself. Private to the io layer.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "diffapple/core/error.h"
#include "diffapple/core/system_calls.h"

namespace diffapple {

class FileDescriptor {
public:
    /// Takes over an open descriptor.
    explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
    ~FileDescriptor() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    FileDescriptor& operator=(FileDescriptor&&) = delete;

    int get() const { return descriptor_; }
    /// Closes now; false (with errno set) when the system reports a late write error.
    bool close() { return ::close(std::exchange(descriptor_, -1)) == 0; }

    /// Opens an existing file for reading; throws Error naming it. What is no file is refused: opening a pipe would
    /// wait for its writer (hence not blocking), and a device need not have an end.
    static FileDescriptor open_for_reading(const std::filesystem::path& path) {
        FileDescriptor file(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }));
        if (file.get() < 0) fail(path.string(), ": cannot open: ", std::strerror(errno));
        const auto mode = file.status(path).st_mode;
        if (!S_ISREG(mode)) fail(path.string(), ": is not a file but a ", kind_of(mode));
        return file;
    }

    /// What the system says of the open file. Throws Error naming `path`.
    struct stat status(const std::filesystem::path& path) const {
        struct stat found = {};
        if (::fstat(descriptor_, &found) != 0) fail(path.string(), ": cannot read: ", std::strerror(errno));
        return found;
    }

    /// Reads up to `bytes` bytes; 0 at the end of the file. Throws Error naming `path`.
    size_t read(void* destination, size_t bytes, const std::filesystem::path& path) const {
        const ssize_t count = uninterrupted([&] { return ::read(descriptor_, destination, bytes); });
        if (count < 0) fail(path.string(), ": cannot read: ", std::strerror(errno));
        return static_cast<size_t>(count);
    }

    /// True when the open file still has this name; false, too, where the system cannot tell.
    bool has_name(const std::filesystem::path& path) const {
        struct stat opened = {}, named = {};
        return ::fstat(descriptor_, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
               opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    }

private:
    static const char* kind_of(mode_t mode) {
        if (S_ISDIR(mode)) return "directory";
        return S_ISFIFO(mode) ? "pipe" : "device";
    }

    int descriptor_;
};

}  // namespace diffapple

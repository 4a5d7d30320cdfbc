// Atomic file writing (temporary file, sync, rename) and bounded reading.
#include "diffapple/io/files.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <ostream>
#include <streambuf>
#include <vector>

#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "file_descriptor.h"
#include "temporary_files.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_write(const fs::path& path, int error) {
    fail(path.string(), ": cannot write: ", std::strerror(error));
}

/// A name that no other file has: no other process's, in another container either, and no other thread's.
std::string new_temporary_name(int attempt) {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    return concat(temporary_prefix, ::getpid(), '-', format_hex(static_cast<uint64_t>(time.tv_sec), 1),
                  format_hex(static_cast<uint64_t>(time.tv_nsec), 8), '-', attempt, temporary_suffix);
}

/// A new file beside `path`, removed again unless it is renamed to it. The system drops its lock when the process ends,
/// however it ends: that is how a file left over is told from one that is being written, by a process anywhere.
class TemporaryFile {
public:
    explicit TemporaryFile(const fs::path& path) : path_(path), file_(create()) {}
    ~TemporaryFile() {
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    void write(const char* data, size_t bytes) {
        while (bytes > 0) {
            // Some systems refuse a single write of 2 GiB or more.
            const size_t most = std::min<size_t>(bytes, size_t{1} << 30);
            const ssize_t count = uninterrupted([&] { return ::write(file_.get(), data, most); });
            if (count < 0) fail_write(path_, errno);
            if (count == 0) fail_write(path_, EIO);  // never seen; it would be tried for ever
            data += count;
            bytes -= static_cast<size_t>(count);
        }
    }

    /// Makes the content durable and gives it its name. A file system that has no such promise to make (of a network,
    /// in user space) is no reason to lose what it took.
    void commit() {
        if (uninterrupted([&] { return ::fsync(file_.get()); }) != 0 && errno != EINVAL && errno != ENOTSUP &&
            errno != EROFS)
            fail_write(path_, errno);
        if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_write(path_, errno);
        temporary_.clear();
    }

private:
    FileDescriptor create() {
        std::error_code error;
        if (!path_.has_filename()) fail(path_.string(), ": cannot write: not a file name");
        if (fs::is_directory(path_, error)) fail(path_.string(), ": cannot write: a folder has this name");
        if (fs::exists(path_, error) && !fs::is_regular_file(path_, error))
            fail(path_.string(), ": cannot write: it is a device or a pipe, and would be replaced by a file");
        const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
        fs::create_directories(folder, error);
        if (error && !fs::is_directory(folder)) fail(folder.string(), ": cannot create folder: ", error.message());
        constexpr int most_attempts = 100;
        for (int attempt = 0; attempt < most_attempts; ++attempt) {
            if (attempt > 0) check_stop();
            temporary_ = folder / new_temporary_name(attempt);
            FileDescriptor file(uninterrupted(
                [&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
            if (file.get() < 0) {
                const int reason = errno;
                temporary_.clear();
                if (reason == EEXIST) continue;
                fail_write(path_, reason);
            }
            removed_at_stop_.emplace(temporary_.string());
            // A file system without locks keeps what is left over. Who holds the lock of a new file is about to remove
            // it as a leftover: it is not waited for.
            uninterrupted([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); });
            if (file.has_name(temporary_)) return file;
            ::unlink(temporary_.c_str());  // removed as a leftover before it was locked, or the system cannot tell
        }
        temporary_.clear();
        fail(path_.string(), ": cannot write: none of ", most_attempts,
             " new files in its folder is found again under its name; is the file system in order?");
    }

    fs::path path_, temporary_;
    std::optional<RemovedAtStop> removed_at_stop_;
    FileDescriptor file_;
};

/// Feeds a std::ostream's output to a temporary file. Its errors pass through the stream, which must let them.
class TemporaryFileBuffer : public std::streambuf {
public:
    explicit TemporaryFileBuffer(TemporaryFile& file) : file_(file) {
        setp(buffer_.data(), buffer_.data() + buffer_.size());
    }

protected:
    int_type overflow(int_type character) override {
        sync();
        if (!traits_type::eq_int_type(character, traits_type::eof())) sputc(traits_type::to_char_type(character));
        return traits_type::not_eof(character);
    }
    int sync() override {
        file_.write(pbase(), static_cast<size_t>(pptr() - pbase()));
        setp(buffer_.data(), buffer_.data() + buffer_.size());
        return 0;
    }

private:
    TemporaryFile& file_;
    std::vector<char> buffer_ = std::vector<char>(1 << 16);
};

}  // namespace

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
    TemporaryFile file(path);
    file.write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    file.commit();
}

void write_file_atomically(const fs::path& path, const std::string& text) {
    write_file_atomically(path, std::as_bytes(std::span(text)));
}

void write_file_atomically(const fs::path& path, const std::function<void(std::ostream&)>& write) {
    TemporaryFile file(path);
    TemporaryFileBuffer buffer(file);
    std::ostream stream(&buffer);
    stream.exceptions(std::ios::badbit | std::ios::failbit);  // so that the buffer's Error reaches the caller
    write(stream);
    stream.flush();
    file.commit();
}

void remove_stale_temporary_files(const fs::path& folder) noexcept try {
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(temporary_prefix) || !name.ends_with(temporary_suffix)) continue;
        const FileDescriptor file(::open(entry.path().c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (file.get() < 0 || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;
        if (file.has_name(entry.path())) ::unlink(entry.path().c_str());
    }
} catch (const std::exception&) {  // tidying up is no reason to fail
}

namespace {

/// The type of what has this name; not_found for nothing, also where no file could be of this name.
fs::file_type type_of(const fs::path& path) {
    std::error_code error;
    const fs::file_type type = fs::status(path, error).type();
    const bool absent = type == fs::file_type::not_found || error == std::errc::filename_too_long;
    if (!absent && error) fail(path.string(), ": cannot see what it is: ", error.message());
    return absent ? fs::file_type::not_found : type;
}

}  // namespace

bool is_file(const fs::path& path) {
    return type_of(path) == fs::file_type::regular;
}

bool is_folder(const fs::path& path) {
    return type_of(path) == fs::file_type::directory;
}

bool is_there(const fs::path& path) {
    return type_of(path) != fs::file_type::not_found;
}

void require_same_kind(const std::string& option, const fs::path& path, std::string_view beginning) {
    if (!is_file(path)) return;
    const FileDescriptor file = FileDescriptor::open_for_reading(path);
    std::string begins(beginning.size(), '\0');
    begins.resize(file.read(begins.data(), begins.size(), path));
    if (!begins.empty() && begins != beginning)
        fail(option, ' ', path.string(), ": a file of another kind has this name; give another, or remove it");
}

std::string read_file(const fs::path& path, uintmax_t limit) {
    const FileDescriptor file = FileDescriptor::open_for_reading(path);
    std::string content;
    std::array<char, 1 << 16> buffer;
    while (const size_t count = file.read(buffer.data(), buffer.size(), path)) {
        if (content.size() + count > limit) fail(path.string(), ": is larger than ", limit, " bytes");
        content.append(buffer.data(), count);
    }
    return content;
}

}  // namespace diffapple

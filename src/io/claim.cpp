// By flock, which every system has, also for folders of other hosts where these lock at all.
#include "diffapple/io/claim.h"

#include <sys/file.h>

#include "file_descriptor.h"
#include "temporary_files.h"

namespace diffapple {

namespace fs = std::filesystem;

namespace {

/// Of another user's file, that may not be written, a lock can be asked for by who reads it.
FileDescriptor open_claim(const fs::path& path) {
    const auto open = [&](int mode) {
        return uninterrupted([&] { return ::open(path.c_str(), mode | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666); });
    };
    FileDescriptor file(open(O_WRONLY));
    if (file.get() < 0 && errno == EACCES) return FileDescriptor(open(O_RDONLY));
    return file;
}

}  // namespace

struct Claim::Locked {
    fs::path path;
    FileDescriptor file;
    ~Locked() { ::unlink(path.c_str()); }  // while it is locked: it is nobody else's
};

Claim::Claim(std::unique_ptr<Locked> locked) : locked_(std::move(locked)) {}
Claim::~Claim() = default;
Claim::Claim(Claim&&) noexcept = default;
Claim& Claim::operator=(Claim&&) noexcept = default;

std::optional<Claim> Claim::take(const fs::path& folder, const std::string& name) {
    const fs::path path = folder / concat(temporary_prefix, "claim-", name, temporary_suffix);
    constexpr int most_attempts = 100;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        FileDescriptor file = open_claim(path);
        if (file.get() < 0) fail(path.string(), ": cannot be made: ", std::strerror(errno));
        if (uninterrupted([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); }) != 0) {
            if (errno == EWOULDBLOCK) return std::nullopt;
            ::unlink(path.c_str());
            return Claim(nullptr);
        }
        if (file.has_name(path)) return Claim(std::unique_ptr<Locked>(new Locked{path, std::move(file)}));
        // Who held it before has removed it meanwhile: the next one is another file.
    }
    return Claim(nullptr);  // a file system that does not tell which file has a name
}

}  // namespace diffapple

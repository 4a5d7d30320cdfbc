// By POSIX stat.
#include "file_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/io/weights.h"

namespace diffapple {
namespace {

int64_t in_nanoseconds(const timespec& time) {
    return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileState state_of_file(const std::filesystem::path& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0) fail(path.string(), ": cannot open: ", std::strerror(errno));
#ifdef __APPLE__
    const timespec &changed = status.st_ctimespec, &modified = status.st_mtimespec;
#else
    const timespec &changed = status.st_ctim, &modified = status.st_mtim;
#endif
    return {.device = static_cast<uint64_t>(status.st_dev),
            .inode = static_cast<uint64_t>(status.st_ino),
            .size = static_cast<int64_t>(status.st_size),
            .changed = in_nanoseconds(changed),
            .modified = in_nanoseconds(modified)};
}

/// Only what belongs to the content: a change of rights or links is none of the weights.
struct WeightsWatch::Seen {
    std::filesystem::path file;
    FileState state;
    bool is_still_there() const {
        FileState now = state_of_file(file);
        now.changed = state.changed;
        return now == state;
    }
};

WeightsWatch::WeightsWatch(const WeightFiles& files) {
    for (const auto& file : files.files) seen_.push_back(Seen{file, state_of_file(file)});
}

WeightsWatch::~WeightsWatch() = default;
WeightsWatch::WeightsWatch(WeightsWatch&&) noexcept = default;

void WeightsWatch::require_unchanged() const {
    for (const Seen& seen : seen_)
        if (!seen.is_still_there())
            fail(seen.file.string(), ": changed since this run began; wait until it is complete, and start again");
}

}  // namespace diffapple

// Which file stands under a name, and in which state. Private to the io layer.
#pragma once

#include <cstdint>
#include <filesystem>

namespace diffapple {

/// Another file, or another content, is another state. The time of modification can be kept or set by whoever changes a
/// file; that of its change is the system's own. Times in ns.
struct FileState {
    uint64_t device = 0, inode = 0;
    int64_t size = 0, changed = 0, modified = 0;
    bool operator==(const FileState&) const = default;
};

/// Of what has this name now; links are followed. Throws Error naming it where the system cannot tell.
FileState state_of_file(const std::filesystem::path& path);

}  // namespace diffapple

// Files that appear whole under their name or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>

namespace diffapple {

/// Writes bytes to a temporary file in the same folder (".diffapple-" ... ".tmp", locked while it is written), syncs it
/// and renames it to `path`; creates missing parent folders. On any failure, the temporary file is removed and an Error
/// names the path and the reason (no permission, disk full, a folder in the way) .
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, const std::string& text);

/// The same for content written piece by piece to a stream.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write);

/// Removes the temporary files that killed processes left in a folder: those that no process holds a lock on. A folder
/// that is not there, or may not be written, has none.
void remove_stale_temporary_files(const std::filesystem::path& folder) noexcept;

/// Whether a file (no folder, pipe or device) or a folder has this name; links are followed. Throws Error where the
/// system cannot tell (no permission, a fault of the disk): taking that for a no would choose other files in silence.
bool is_file(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);
/// Whether anything has this name.
bool is_there(const std::filesystem::path& path);

/// Throws Error where what `path` names, to be written for an option, is a file of another kind: one that begins
/// otherwise than the new one will. It was named by mistake, as by a shell that filled in the names of pictures. An
/// empty file is in nobody's way.
void require_same_kind(const std::string& option, const std::filesystem::path& path, std::string_view beginning);

/// The whole of a file; throws Error when it cannot be read or is larger than `limit` bytes.
std::string read_file(const std::filesystem::path& path, uintmax_t limit);

}  // namespace diffapple

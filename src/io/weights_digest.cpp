// The sha256 of weights without reading gigabytes each time: the Hub cache's blob names, else our own small cache.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/sha256.h"
#include "diffapple/io/weights.h"
#include "file_state.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

int64_t nanoseconds(const timespec& time) {
    return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// The Hub's cache names each large file by its sha256 and links to it from the snapshot.
std::optional<std::string> digest_from_blob_name(const fs::path& file) {
    std::error_code error;
    const fs::path target = fs::read_symlink(file, error);
    const std::string name = target.filename().string();
    if (error || target.parent_path().filename() != "blobs" || !is_sha256(name)) return std::nullopt;
    return name;
}

json to_json(const FileState& state) {
    return {{"device", state.device},
            {"inode", state.inode},
            {"size", state.size},
            {"changed", state.changed},
            {"modified", state.modified}};
}

/// A file that changed so shortly before it was read may have changed again with the same times, which some file
/// systems keep to 2 seconds: what was found of it then is not trusted later.
bool was_settled(const json& state, int64_t read_at) {
    constexpr int64_t safe_age = 5'000'000'000;  // in ns
    const int64_t changed = state.at("changed");
    return changed > 0 && read_at > changed && read_at - changed >= safe_age;
}

/// Digests by absolute path; an entry counts while the file's state is the one in which it was read.
class DigestCache {
public:
    DigestCache() : path_(cache_folder() / "diffapple" / "sha256.json") {
        try {
            entries_ = read_json_file(path_);
        } catch (const Error&) {
            entries_ = json::object();  // absent or damaged: start again
        }
        if (!entries_.is_object()) entries_ = json::object();
    }

    std::optional<std::string> find(const fs::path& file) const {
        const auto entry = entries_.find(file.string());
        if (entry == entries_.end() || !entry->is_object()) return std::nullopt;
        const json digest = entry->value("sha256", json()), read_at = entry->value("read", json());
        if (!digest.is_string() || !is_sha256(digest) || !read_at.is_number_integer()) return std::nullopt;
        const json state = to_json(state_of_file(file));
        if (entry->value("file", json()) != state || !was_settled(state, read_at)) return std::nullopt;
        return digest.get<std::string>();
    }

    /// Reads the file. Throws Error where it changes meanwhile.
    std::string compute(const fs::path& file) {
        const json state = to_json(state_of_file(file));
        const int64_t read_at = now();
        std::string digest = sha256_of_file(file);
        if (to_json(state_of_file(file)) != state)
            fail(file.string(), ": changed while it was read; wait until it is written, and start again");
        entries_[file.string()] = {{"file", state}, {"read", read_at}, {"sha256", digest}};
        save();
        return digest;
    }

private:
    static fs::path cache_folder() {
        if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder) return folder;
        const char* home = std::getenv("HOME");
        return fs::path(home ? home : "/nonexistent") / ".cache";
    }

    static int64_t now() {
        timespec time{};
        ::clock_gettime(CLOCK_REALTIME, &time);
        return nanoseconds(time);
    }

    void save() {
        remove_stale_entries();
        try {
            remove_stale_temporary_files(path_.parent_path());
            write_file_atomically(path_, entries_.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
        } catch (const Error&) {
            // Without a cache the next run computes the digest again.
        }
    }

    void remove_stale_entries() {
        for (auto entry = entries_.begin(); entry != entries_.end();) {
            std::error_code error;
            entry = fs::exists(entry.key(), error) ? std::next(entry) : entries_.erase(entry);
        }
    }

    fs::path path_;
    json entries_;
};

std::string digest_of(const fs::path& file, DigestCache& cache) {
    if (const auto known = digest_from_blob_name(file)) return *known;
    const fs::path absolute = fs::absolute(file).lexically_normal();
    if (const auto known = cache.find(absolute)) return *known;
    return cache.compute(absolute);
}

}  // namespace

std::string weights_sha256(const WeightFiles& files) {
    std::vector<fs::path> sorted = files.files;
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.filename() < b.filename(); });
    DigestCache cache;
    if (sorted.size() == 1) return digest_of(sorted[0], cache);
    std::string digests;
    for (const fs::path& file : sorted) {
        if (!digests.empty()) digests += '\n';
        digests += digest_of(file, cache);
    }
    return sha256(digests);
}

}  // namespace diffapple

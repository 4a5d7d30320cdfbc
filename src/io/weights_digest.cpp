// The sha256 of weights without reading gigabytes each time: the Hub cache's blob names, else our own small cache.
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/sha256.h"
#include "diffapple/io/weights.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// The Hub's cache names each large file by its sha256 and links to it from the snapshot.
std::optional<std::string> digest_from_blob_name(const fs::path& file) {
    std::error_code error;
    const fs::path target = fs::read_symlink(file, error);
    const std::string name = target.filename().string();
    if (error || target.parent_path().filename() != "blobs" || !is_sha256(name)) return std::nullopt;
    return name;
}

/// Digests by absolute path; an entry counts while the file's size and modification time are the same.
class DigestCache {
public:
    DigestCache() : path_(cache_folder() / "diffapple" / "sha256.json") {
        try {
            entries_ = read_json_file(path_);
        } catch (const Error&) {
            entries_ = json::object();  // absent or damaged: start again
        }
    }

    std::optional<std::string> find(const fs::path& file) const {
        const auto entry = entries_.find(file.string());
        if (entry == entries_.end() || !entry->is_object()) return std::nullopt;
        const json digest = entry->value("sha256", json());
        if (*entry != describe(file, digest) || !digest.is_string() || !is_sha256(digest)) return std::nullopt;
        return digest.get<std::string>();
    }

    void store(const fs::path& file, const std::string& digest) {
        remove_stale_entries();
        entries_[file.string()] = describe(file, digest);
        try {
            write_file_atomically(path_, entries_.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
        } catch (const Error&) {
            // Without a cache the next run computes the digest again.
        }
    }

private:
    static fs::path cache_folder() {
        if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder) return folder;
        const char* home = std::getenv("HOME");
        return fs::path(home ? home : "/nonexistent") / ".cache";
    }

    static json describe(const fs::path& file, const json& digest) {
        std::error_code error;
        const auto modified = fs::last_write_time(file, error).time_since_epoch().count();
        return {{"size", fs::file_size(file, error)}, {"modified", static_cast<int64_t>(modified)}, {"sha256", digest}};
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
    std::string digest = sha256_of_file(absolute);
    cache.store(absolute, digest);
    return digest;
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

// One file of the Hub on its way into the cache. Private to fetch.
#pragma once

#include <filesystem>
#include <functional>

#include "hub_site.h"

namespace diffapple {

/// A model's folder in the cache: models--org--name/{blobs,refs,snapshots}.
struct CacheFolder {
    std::filesystem::path root;  ///< of the model
    std::filesystem::path locks;
    std::string commit;

    std::filesystem::path blob(const HubFile& file) const { return root / "blobs" / file.etag; }
    std::filesystem::path incomplete(const HubFile& file) const { return root / "blobs" / (file.etag + ".incomplete"); }
    std::filesystem::path link(const HubFile& file) const { return root / "snapshots" / commit / file.path; }
    /// Whether the blob is there, in its size.
    bool has(const HubFile& file) const;
};

/// Downloads a file into its blob, from where an earlier attempt stopped, unless it is there; `received` gets the
/// number of bytes that are new (negative where some were thrown away). It gets its name once size and digest are
/// right; another process that downloads the same file is waited for. Throws Error.
void download_blob(const HubSite& site, const std::string& id, const CacheFolder& folder, const HubFile& file,
                   const std::function<void(int64_t)>& received);

/// Makes the snapshot's link to the blob, as the Hub's client does.
void link_to_blob(const CacheFolder& folder, const HubFile& file);

}  // namespace diffapple

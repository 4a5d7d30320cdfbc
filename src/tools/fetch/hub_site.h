// What the Hub says of a model: its files, their sizes and digests, its licence. Private to fetch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "http.h"

namespace diffapple {

/// There is no such model, or it is not to be seen: another id of the same model may do.
class NoSuchModel : public Error {
public:
    using Error::Error;
};

struct HubSite {
    std::string endpoint;  ///< "https://huggingface.co", or $HF_ENDPOINT
    std::string token;     ///< $HF_TOKEN, or what the Hub's client stored; "": none
    std::string token_from;

    /// From the environment. Throws Error where $HF_HUB_OFFLINE forbids the network.
    static HubSite from_environment();
};

struct HubFile {
    std::string path;  ///< inside the model; leads nowhere else
    uint64_t size = 0;
    std::string etag;  ///< sha256 of a large file, git's sha1 of a small one: the name of its blob

    bool is_large() const { return etag.size() == 64; }
};

struct HubListing {
    std::string commit, licence;
    std::vector<HubFile> files;
};

/// What the Hub answers, as JSON text from `where`. Throws Error for what is none.
HubListing parse_listing(const std::string& text, const std::string& where);

/// Throws Error in words for what is in the way (login, licence, absence), NoSuchModel where that is the model itself.
HubListing list_files(const HubSite& site, const std::string& id, const std::string& revision);

/// The address of a file.
std::string file_url(const HubSite& site, const std::string& id, const std::string& commit, const std::string& path);

/// Throws the Error that an answer other than 2xx stands for.
[[noreturn]] void fail_for(const HubSite& site, const std::string& id, const std::string& revision,
                           const HttpHead& head);

/// Does `request` until it is answered by 2xx: waits and tries again, some times, where the server is busy (429, with
/// its Retry-After; 5xx) or the connection fails, as long as nothing was received. Other answers are Errors.
HttpHead get_patiently(const HubSite& site, const std::string& id, const std::string& revision,
                       const std::function<HttpHead()>& request);

/// How long a busy server asks to be left alone, in seconds; at most a minute.
double retry_after(const HttpHead& head, double otherwise);

/// Throws Interrupted on a stop request.
void wait_seconds(double seconds);

}  // namespace diffapple

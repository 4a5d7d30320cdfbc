#include "hub_site.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/io/files.h"
#include "diffapple/io/hub.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/sha256.h"

namespace diffapple {
namespace {

using nlohmann::json;

constexpr size_t largest_listing = 64 << 20;

std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

bool is_true(std::string value) {
    std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::toupper(c); });
    return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

constexpr std::string_view token_blanks = " \t\r\n";

/// Everything but letters, digits and -._~ as %XX; slashes stay.
std::string escaped(const std::string& path) {
    std::string text;
    for (const unsigned char c : path) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                           c == '.' || c == '_' || c == '~' || c == '/';
        constexpr const char* digits = "0123456789ABCDEF";
        if (plain)
            text += static_cast<char>(c);
        else
            text += std::string("%") + digits[c >> 4] + digits[c & 15];
    }
    return text;
}

bool is_hex(const std::string& text, size_t length) {
    return text.size() == length && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

HubFile read_file_entry(const json& entry, const std::string& where) {
    constexpr int64_t largest = int64_t{1} << 50;
    const JsonFields fields(entry, where);
    HubFile file{.path = fields.text("rfilename"), .size = 0, .etag = ""};
    if (!stays_inside(file.path))
        fields.reject("rfilename", concat("is ", quote(file.path), ", which is no name of a file inside a model"));
    const bool large = fields.has("lfs");
    const JsonFields content = large ? fields.object("lfs") : fields;
    file.size = static_cast<uint64_t>(content.integer("size", 0, largest));
    file.etag = content.text(large ? "sha256" : "blobId");
    if (!is_hex(file.etag, large ? 64 : 40)) content.reject(large ? "sha256" : "blobId", "is no digest");
    return file;
}

std::string licence_in(const json& listing) {
    const auto card = listing.find("cardData");
    if (card == listing.end() || !card->is_object()) return "";
    for (const char* const key : {"license_name", "license"})
        if (const auto found = card->find(key); found != card->end() && found->is_string()) return *found;
    return "";
}

std::string login_advice(const HubSite& site) {
    return site.token.empty() ? "give a token in HF_TOKEN, or sign in with `hf auth login`"
                              : concat("the token of ", site.token_from, " may not see it");
}

}  // namespace

double retry_after(const HttpHead& head, double otherwise) {
    constexpr double longest = 60;
    const std::string text = head.header("retry-after");
    char* end = nullptr;
    const double seconds = std::strtod(text.c_str(), &end);
    return end == text.c_str() || !(seconds >= 0) ? otherwise : std::min(seconds, longest);
}

HubSite HubSite::from_environment() {
    if (is_true(environment("HF_HUB_OFFLINE")) || is_true(environment("TRANSFORMERS_OFFLINE")))
        fail("fetch: HF_HUB_OFFLINE is set, which forbids the network; unset it to download");
    HubSite site{.endpoint = environment("HF_ENDPOINT"), .token = "", .token_from = ""};
    if (site.endpoint.empty()) site.endpoint = "https://huggingface.co";
    while (site.endpoint.ends_with('/')) site.endpoint.pop_back();
    constexpr uintmax_t largest_token = 1 << 16;
    const auto file = hub_token_file();
    site.token = trimmed(environment("HF_TOKEN"), token_blanks);
    site.token_from = "HF_TOKEN";
    if (site.token.empty() && is_file(file)) {
        site.token = trimmed(read_file(file, largest_token), token_blanks);
        site.token_from = file.string();
    }
    return site;
}

std::string file_url(const HubSite& site, const std::string& id, const std::string& commit, const std::string& path) {
    return concat(site.endpoint, "/", id, "/resolve/", commit, "/", escaped(path));
}

void fail_for(const HubSite& site, const std::string& id, const std::string& revision, const HttpHead& head) {
    const std::string page = concat(site.endpoint, "/", id), code = head.header("x-error-code");
    if (code == "GatedRepo")
        fail(id, ": its licence has to be accepted first, on ", page, " (signed in); then ", login_advice(site));
    if (head.status == 404 && code == "RevisionNotFound")
        fail(id, ": has no revision ", quote(revision), "; `--revision main` is the usual one");
    if (head.status == 404 && code == "EntryNotFound") fail(id, ": ", head.url, " is not there any more");
    if (head.status == 401 && !site.token.empty() && code != "RepoNotFound")
        fail(id, ": the token of ", site.token_from, " is not valid; make another on ", site.endpoint,
             "/settings/tokens");
    if (head.status == 401 || head.status == 404)
        throw NoSuchModel(concat(id, ": there is no such model on ", site.endpoint,
                                 ", or it is private; is its name right? If so, ", login_advice(site)));
    if (head.status == 403) fail(id, ": ", site.endpoint, " refuses it (403); ", login_advice(site));
    if (head.status == 429) fail(id, ": ", site.endpoint, " is too busy (429); try again later");
    fail(id, ": ", site.endpoint, " answers with ", head.status, head.status >= 500 ? "; try again later" : "");
}

void wait_seconds(double seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
        check_stop();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

HttpHead get_patiently(const HubSite& site, const std::string& id, const std::string& revision,
                       const std::function<HttpHead()>& request) {
    constexpr int most_attempts = 5;
    double wait = 0.25;
    for (int attempt = 1;; ++attempt, wait *= 2) {
        try {
            HttpHead head = request();
            if (head.status >= 200 && head.status < 300) return head;
            const bool busy = head.status == 429 || head.status >= 500;
            if (!busy || attempt == most_attempts) fail_for(site, id, revision, head);
            wait_seconds(retry_after(head, wait));
        } catch (const ConnectionError& error) {
            if (attempt == most_attempts)
                fail(id, ": cannot be downloaded: ", error.what(), "; what was received is kept: try again later");
            wait_seconds(wait);
        }
    }
}

HubListing parse_listing(const std::string& text, const std::string& where) {
    const json listing = parse_json(text, where);
    const JsonFields fields(listing, where);
    HubListing result{.commit = fields.text("sha"), .licence = licence_in(listing), .files = {}};
    if (!is_hex(result.commit, 40)) fields.reject("sha", "is no commit");
    if (!fields.value("siblings").is_array()) fields.reject("siblings", "is not a list");
    for (const auto& entry : listing.at("siblings"))
        result.files.push_back(read_file_entry(entry, where + ": siblings"));
    return result;
}

HubListing list_files(const HubSite& site, const std::string& id, const std::string& revision) {
    std::string reference = escaped(revision);
    for (size_t at = reference.find('/'); at != std::string::npos; at = reference.find('/', at))
        reference.replace(at, 1, "%2F");
    const std::string url = concat(site.endpoint, "/api/models/", id, "/revision/", reference, "?blobs=true");
    std::string text;
    get_patiently(site, id, revision, [&] {
        HttpHead head;
        text = http_get_text(url, site.token, largest_listing, head);
        return head;
    });
    return parse_listing(text, url);
}

}  // namespace diffapple

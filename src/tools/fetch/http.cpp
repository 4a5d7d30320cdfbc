#include "http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <exception>
#include <memory>
#include <utility>

#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/core/version.h"

namespace diffapple {
namespace {

using Handle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using UrlHandle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

constexpr int most_redirects = 10;

/// A transfer as libcurl's callbacks see it. Exceptions must not pass through C: they are kept.
struct Transfer {
    const HttpRequest& request;
    HttpHead head;
    bool begun = false;
    std::exception_ptr failure;

    bool wants_body() const { return head.status >= 200 && head.status < 300; }
};

template <typename Step>
size_t guarded(Transfer& transfer, size_t bytes, Step step) {
    try {
        check_stop();
        step();
        return bytes;
    } catch (...) {
        transfer.failure = std::current_exception();
        return bytes + 1;  // anything else than `bytes` ends the transfer
    }
}

size_t take_header(char* data, size_t size, size_t count, void* target) {
    auto& transfer = *static_cast<Transfer*>(target);
    const std::string_view line(data, size * count);
    return guarded(transfer, line.size(), [&] { take_header_line(transfer.head, line); });
}

void begin_body(CURL* curl, Transfer& transfer) {
    if (std::exchange(transfer.begun, true)) return;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer.head.status);
    if (transfer.wants_body() && transfer.request.on_head) transfer.request.on_head(transfer.head);
}

struct Target {
    CURL* curl;
    Transfer* transfer;
};

size_t take_body(char* data, size_t size, size_t count, void* target) {
    const auto [curl, transfer] = *static_cast<Target*>(target);
    const std::string_view bytes(data, size * count);
    return guarded(*transfer, bytes.size(), [&, transfer = transfer, curl = curl] {
        begin_body(curl, *transfer);
        if (transfer->wants_body()) transfer->request.on_data(bytes);
    });
}

int watch_stop(void* target, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return guarded(*static_cast<Transfer*>(target), 0, [] {}) == 0 ? 0 : 1;
}

/// "https://host:443" of a URL, for comparison.
std::string origin_of(const std::string& url) {
    const UrlHandle parsed(curl_url(), curl_url_cleanup);
    if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
        fail(quote(url), ": is no address");
    std::string origin;
    for (const CURLUPart part : {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT}) {
        char* text = nullptr;
        if (curl_url_get(parsed.get(), part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK) origin += lower_ascii(text) + ":";
        curl_free(text);
    }
    return origin;
}

/// Without the query, which may hold a signature.
std::string shown(const std::string& url) {
    return url.substr(0, url.find('?'));
}

/// The certificates that its user wants trusted in place of the system's, as the Hub's own client and curl take them;
/// libcurl itself looks at neither name.
std::string certificates() {
    for (const char* const name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"})
        if (const char* const file = std::getenv(name); file && *file) return file;
    return "";
}

void set_options(CURL* curl, const HttpRequest& request, const std::string& url, const std::string& token,
                 Transfer& transfer, Target& target) {
    constexpr long connect_seconds = 20, idle_seconds = 30;
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, connect_seconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, idle_seconds);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &target);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, concat("diffapple/", version).c_str());
    if (const std::string file = certificates(); !file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, file.c_str());
    if (!token.empty()) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, token.c_str());
    }
    if (request.from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, concat(request.from, "-").c_str());
}

/// One request, without redirects.
HttpHead get_once(const HttpRequest& request, const std::string& url, const std::string& token, std::string& next) {
    const Handle curl(curl_easy_init(), curl_easy_cleanup);
    if (!curl) fail("libcurl cannot be used");
    Transfer transfer{.request = request, .head = {}, .failure = nullptr};
    Target target{curl.get(), &transfer};
    set_options(curl.get(), request, url, token, transfer, target);
    const CURLcode code = curl_easy_perform(curl.get());
    if (transfer.failure) std::rethrow_exception(transfer.failure);
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        fail(shown(url), ": its certificate is not trusted (", curl_easy_strerror(code),
             "); SSL_CERT_FILE may name a file of other certificates");
    if (code != CURLE_OK) throw ConnectionError(concat(shown(url), ": ", curl_easy_strerror(code)));
    begin_body(curl.get(), transfer);  // of an empty one
    const char* redirect = nullptr;
    curl_easy_getinfo(curl.get(), CURLINFO_REDIRECT_URL, &redirect);
    next = redirect ? redirect : "";
    transfer.head.url = url;
    return transfer.head;
}

}  // namespace

void take_header_line(HttpHead& head, std::string_view line) {
    constexpr size_t most_headers = 1000;
    if (line.starts_with("HTTP/")) head.headers.clear();  // an interim answer came before
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || head.headers.size() > most_headers) return;
    head.headers[lower_ascii(std::string(line.substr(0, colon)))] = trimmed(line.substr(colon + 1), " \t\r\n\f\v");
}

std::string HttpHead::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
}

HttpHead http_get(const HttpRequest& request) {
    static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (started != CURLE_OK) fail("libcurl cannot be used: ", curl_easy_strerror(started));
    std::string url = request.url;
    for (int redirect = 0; redirect <= most_redirects; ++redirect) {
        // Only the host that the token is for may see it.
        const bool own = origin_of(url) == origin_of(request.url);
        std::string next;
        HttpHead head = get_once(request, url, own ? request.token : "", next);
        if (next.empty()) return head;
        const std::string scheme = lower_ascii(next.substr(0, next.find(':')));
        if (scheme != "https" && (scheme != "http" || lower_ascii(request.url).starts_with("https:")))
            fail(shown(request.url), ": is redirected to ", quote(shown(next)),
                 ", which is not encrypted; not followed");
        url = next;
    }
    fail(shown(request.url), ": is redirected more than ", most_redirects, " times");
}

std::string http_get_text(const std::string& url, const std::string& token, size_t limit, HttpHead& head) {
    std::string text;
    head = http_get({.url = url, .token = token, .on_data = [&](std::string_view bytes) {
                         if (text.size() + bytes.size() > limit)
                             fail(shown(url), ": the answer is larger than ", limit, " bytes");
                         text += bytes;
                     }});
    return text;
}

}  // namespace diffapple

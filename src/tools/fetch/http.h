// HTTP GET by libcurl. Private to fetch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "diffapple/core/error.h"

namespace diffapple {

/// The connection, not what the server said, is at fault: another attempt may do.
class ConnectionError : public Error {
public:
    using Error::Error;
};

struct HttpHead {
    long status = 0;
    std::map<std::string, std::string> headers;  ///< by lower-case name
    std::string url;                             ///< after redirects

    /// "" for one that is not there.
    std::string header(const std::string& name) const;
};

/// Adds a line of an answer's head; with the status line of another answer, the headers begin anew.
void take_header_line(HttpHead& head, std::string_view line);

struct HttpRequest {
    std::string url;
    std::string token;  ///< sent to the url's own host alone, and never over plain http after https; "": none
    uint64_t from = 0;  ///< the first byte that is wanted
    /// Called with the head of a 2xx answer, before its body.
    std::function<void(const HttpHead&)> on_head = {};
    std::function<void(std::string_view)> on_data;
};

/// Follows up to 10 redirects. The body of any other answer than 2xx is left out. Throws ConnectionError where there is
/// none or it breaks off, Error for a redirect from https to http, Interrupted on a stop request, and what the
/// functions throw.
HttpHead http_get(const HttpRequest& request);

/// The same for a body of at most `limit` bytes, as text.
std::string http_get_text(const std::string& url, const std::string& token, size_t limit, HttpHead& head);

}  // namespace diffapple

// What reads the answers of a server that says it is the Hub.
#include "../../src/tools/fetch/choose_files.h"
#include "../../src/tools/fetch/hub_site.h"
#include "fuzz/fuzz.h"

namespace diffapple::fuzz {
namespace {

const std::string digest_40(40, 'a'), digest_64(64, 'b');

std::vector<std::string> listing_seeds() {
    const std::string small = R"({"rfilename":"unet/config.json","size":3,"blobId":")" + digest_40 + R"("})";
    const std::string large = R"({"rfilename":"unet/diffusion_pytorch_model.fp16.safetensors","size":9,"blobId":")" +
                              digest_40 + R"(","lfs":{"sha256":")" + digest_64 + R"(","size":9}})";
    return {R"({"sha":")" + digest_40 + R"(","cardData":{"license":"other","license_name":"x"},"siblings":[)" + small +
            "," + large + "]}"};
}

void read_listing(const std::string& text) {
    const HubListing listing = parse_listing(text, "https://h.test/api/models/a/b");
    for (const bool half : {true, false}) choose_files(listing.files, half);
}

/// Header lines behind a status line, as a transfer takes them, and the errors that are made of them.
void read_head(const std::string& lines) {
    HttpHead head{.status = 0, .headers = {}, .url = "https://h.test/a/b"};
    for (size_t begin = 0; begin < lines.size();) {
        const size_t end = std::min(lines.find('\n', begin), lines.size() - 1);
        take_header_line(head, std::string_view(lines).substr(begin, end + 1 - begin));
        begin = end + 1;
    }
    retry_after(head, 1);
    const HubSite site{.endpoint = "https://h.test", .token = "t", .token_from = "HF_TOKEN"};
    head.status = 400 + static_cast<long>(lines.size() % 105);  // any error, one an input: exceptions are slow
    accepts([&] { fail_for(site, "a/b", "main", head); });
}

}  // namespace

const std::map<std::string, Target>& targets() {
    static const std::map<std::string, Target> all = {
        {"hub_listing", {listing_seeds(), read_listing}},
        {"http_head",
         {{"HTTP/1.1 429\r\nRetry-After: 7\r\nX-Error-Code: GatedRepo\r\n\r\n",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404\r\nX-Error-Code: RevisionNotFound\r\nContent-Range: bytes "
           "3-9/9\r\n"},
          read_head}}};
    return all;
}

}  // namespace diffapple::fuzz

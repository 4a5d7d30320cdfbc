#include "download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/system_calls.h"
#include "diffapple/core/text.h"
#include "diffapple/io/digest.h"
#include "diffapple/io/files.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

/// The digest that a blob is named by: the sha256 of its content, or git's sha1 of "blob <size>\0" and its content.
Digest begin_digest(const HubFile& file) {
    if (file.is_large()) return Digest(Digest::Kind::sha256);
    Digest digest(Digest::Kind::sha1);
    const std::string header = concat("blob ", file.size);
    digest.update(header.c_str(), header.size() + 1);
    return digest;
}

/// A file that is written from where it ends, with the digest of all of it.
class PartialFile {
public:
    PartialFile(const fs::path& path, const HubFile& file, const std::function<void(int64_t)>& received)
        : path_(path), file_(file), received_(received), digest_(begin_digest(file)) {
        descriptor_ = uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
        if (descriptor_ < 0) fail_write(errno);
        read_what_is_there();
    }
    ~PartialFile() { ::close(descriptor_); }
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    uint64_t size() const { return size_; }

    void append(std::string_view bytes) {
        if (bytes.size() > file_.size - size_)
            fail(file_.path, ": the server sends more than the ", file_.size, " bytes that it named");
        for (size_t done = 0; done < bytes.size();) {
            const ssize_t count =
                uninterrupted([&] { return ::write(descriptor_, bytes.data() + done, bytes.size() - done); });
            if (count <= 0) fail_write(count < 0 ? errno : EIO);
            done += static_cast<size_t>(count);
        }
        digest_.update(bytes.data(), bytes.size());
        size_ += bytes.size();
        received_(static_cast<int64_t>(bytes.size()));
    }

    void start_over() {
        if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) fail_write(errno);
        digest_ = begin_digest(file_);
        received_(-static_cast<int64_t>(size_));
        size_ = 0;
    }

    /// Gives it its name, if it is what it should be.
    void finish(const fs::path& blob) {
        if (const std::string found = digest_.hex(); found != file_.etag) {
            ::unlink(path_.c_str());
            fail(file_.path, ": what was received is damaged: its ", file_.is_large() ? "sha256" : "sha1", " is ",
                 found, " instead of ", file_.etag, "; nothing of it is kept: try again");
        }
        if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0 && errno != EINVAL && errno != ENOTSUP)
            fail_write(errno);
        if (::rename(path_.c_str(), blob.c_str()) != 0) fail_write(errno);
    }

private:
    [[noreturn]] void fail_write(int error) const { fail(path_.string(), ": cannot write: ", std::strerror(error)); }

    void read_what_is_there() {
        std::vector<char> buffer(1 << 20);
        while (const ssize_t count = uninterrupted([&] { return ::read(descriptor_, buffer.data(), buffer.size()); })) {
            if (count < 0) fail(path_.string(), ": cannot read: ", std::strerror(errno));
            check_stop();
            digest_.update(buffer.data(), static_cast<size_t>(count));
            size_ += static_cast<uint64_t>(count);
        }
        received_(static_cast<int64_t>(size_));
        if (size_ > file_.size) start_over();
    }

    fs::path path_;
    const HubFile& file_;
    const std::function<void(int64_t)>& received_;
    Digest digest_;
    int descriptor_ = -1;
    uint64_t size_ = 0;
};

/// The lock that the Hub's client takes, too. Where the file system has none, there is none.
class BlobLock {
public:
    explicit BlobLock(const fs::path& path) {
        std::error_code error;
        fs::create_directories(path.parent_path(), error);
        descriptor_ = uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
        if (descriptor_ < 0) fail(path.string(), ": cannot be made: ", std::strerror(errno));
        while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR))
            wait_seconds(0.1);
    }
    ~BlobLock() { ::close(descriptor_); }
    BlobLock(const BlobLock&) = delete;
    BlobLock& operator=(const BlobLock&) = delete;

private:
    int descriptor_ = -1;
};

/// Where the answer's bytes belong: behind what is there, or, where the server sends all, at the beginning.
void take_head(const HttpHead& head, const HubFile& file, PartialFile& partial) {
    constexpr long partial_content = 206;
    const uint64_t from = partial.size();
    if (head.status != partial_content) {
        if (from > 0) partial.start_over();
    } else if (const std::string range = head.header("content-range");
               !range.starts_with(concat("bytes ", from, "-"))) {
        fail(file.path, ": the server sends another part (", quote(range), ") than was asked for");
    }
    const std::string length = head.header("content-length");
    if (!length.empty() && length != std::to_string(file.size - partial.size()))
        fail(file.path, ": the server sends ", quote(length), " bytes where ", file.size - partial.size(),
             " are missing");
}

}  // namespace

bool CacheFolder::has(const HubFile& file) const {
    std::error_code error;
    return is_file(blob(file)) && fs::file_size(blob(file), error) == file.size && !error;
}

void download_blob(const HubSite& site, const std::string& id, const CacheFolder& folder, const HubFile& file,
                   const std::function<void(int64_t)>& received) {
    constexpr long range_not_satisfiable = 416;
    constexpr int most_empty_attempts = 4;
    const BlobLock lock(folder.locks / (file.etag + ".lock"));
    if (folder.has(file)) return received(static_cast<int64_t>(file.size));  // another process was first
    PartialFile partial(folder.incomplete(file), file, received);
    const std::string url = file_url(site, id, folder.commit, file.path);
    for (int empty = 0; partial.size() < file.size || file.size == 0;) {
        const uint64_t before = partial.size();
        try {
            const HttpHead head = http_get({.url = url,
                                            .token = site.token,
                                            .from = before,
                                            .on_head = [&](const HttpHead& head) { take_head(head, file, partial); },
                                            .on_data = [&](std::string_view bytes) { partial.append(bytes); }});
            if (head.status == range_not_satisfiable && before > 0) {
                partial.start_over();
            } else if (head.status < 200 || head.status >= 300) {
                const bool busy = head.status == 429 || head.status >= 500;
                if (!busy || empty >= most_empty_attempts) fail_for(site, id, folder.commit, head);
                wait_seconds(retry_after(head, 0.25 * (1 << empty)));
            }
            if (file.size == 0) break;
        } catch (const ConnectionError& error) {
            if (empty >= most_empty_attempts)
                fail(file.path, ": cannot be downloaded: ", error.what(),
                     "; what was received is kept: try again later");
            wait_seconds(0.25 * (1 << empty));
        }
        empty = partial.size() > before ? 0 : empty + 1;
        if (empty > most_empty_attempts) fail(file.path, ": the server sends nothing; try again later");
    }
    partial.finish(folder.blob(file));
}

void link_to_blob(const CacheFolder& folder, const HubFile& file) {
    const fs::path link = folder.link(file);
    std::error_code error;
    fs::create_directories(link.parent_path(), error);
    if (error) fail(link.parent_path().string(), ": cannot create folder: ", error.message());
    const fs::path target = fs::relative(folder.blob(file), link.parent_path(), error);
    if (error) fail(link.string(), ": cannot be made: ", error.message());
    if (fs::read_symlink(link, error) == target && !error) return;
    const fs::path fresh = link.string() + ".diffapple.tmp";
    fs::remove(fresh, error);
    fs::create_symlink(target, fresh, error);
    if (!error) fs::rename(fresh, link, error);
    if (error) fail(link.string(), ": cannot be made: ", error.message());
}

}  // namespace diffapple

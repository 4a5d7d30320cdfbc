#include "diffapple/tools/fetch.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "choose_files.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/io/files.h"
#include "diffapple/io/hub.h"
#include "diffapple/models/single_file.h"
#include "diffapple/study/study.h"
#include "download.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

constexpr size_t files_at_once = 4;

/// A model, or one file of it that holds a checkpoint.
struct Wanted {
    std::string id, file;  ///< file "": what a run needs of the model
};

/// What may stand for a name, in the order of preference.
std::vector<Wanted> wanted_by(const std::string& name) {
    const auto names = study_experiment_names();
    const std::string command = name == "ddpm-cat" ? "ddpm" : name;
    std::vector<Wanted> all;
    if (std::find(names.begin(), names.end(), command) != names.end()) {
        for (const bool on_hub : {true, false})  // one that left the Hub may have come back
            for (const HubId& known : find_study_experiment(command).hub_ids)
                if (known.on_hub == on_hub) all.push_back({known.id, ""});
        return all;
    }
    if (is_hub_id(name)) return {{name, ""}};
    if (const auto file = parse_hub_file(name); file && is_single_file_name(file->path) && is_hub_id(file->id))
        return {{file->id, file->path}};
    fail_usage("fetch ", name, ": is neither a Hub id (organisation/name), nor a checkpoint's file of one (",
               "organisation/name/file, ", join(single_file_extensions(), ", "), "), nor one of ddpm-cat, ",
               join(std::vector<std::string>(names.begin() + 1, names.end()), ", "));
}

CacheFolder cache_folder(const std::string& id, const std::string& commit) {
    const fs::path cache = hub_cache_folders().front();
    const std::string folder = hub_folder_name(id);
    return {.root = cache / folder, .locks = cache / ".locks" / folder, .commit = commit};
}

/// The nearest folder that is there.
fs::path existing_part(fs::path folder) {
    while (!folder.empty() && folder.has_relative_path() && !is_there(folder)) folder = folder.parent_path();
    return folder.empty() ? fs::path(".") : folder;
}

FetchPlan make_plan(const std::string& id, const HubListing& listing, const std::vector<HubFile>& files,
                    const CacheFolder& folder) {
    FetchPlan plan{.id = id, .commit = listing.commit, .licence = listing.licence, .folder = folder.root.string()};
    for (const HubFile& file : files) {
        ++plan.files;
        plan.bytes += file.size;
        if (folder.has(file)) continue;
        std::error_code error;
        const uintmax_t begun = fs::file_size(folder.incomplete(file), error);
        ++plan.missing_files;
        plan.missing_bytes += file.size - std::min<uint64_t>(error ? 0 : begun, file.size);
    }
    std::error_code error;
    const fs::space_info space = fs::space(existing_part(folder.root), error);
    plan.free_bytes = error ? UINT64_MAX : space.available;
    return plan;
}

/// Downloads several files at once. The first error ends all, once their connections have noticed.
class Downloads {
public:
    Downloads(const HubSite& site, const std::string& id, const CacheFolder& folder, const std::vector<HubFile>& files)
        : site_(site), id_(id), folder_(folder), files_(files) {}

    void run(const std::function<void(uint64_t done)>& progress) {
        std::vector<std::thread> threads;
        for (size_t i = 0; i < std::min(files_at_once, files_.size()); ++i) threads.emplace_back([this] { work(); });
        while (running_ < static_cast<int>(threads.size()) || busy_ > 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            if (!failure_seen_) progress(static_cast<uint64_t>(std::max<int64_t>(0, received_)));
        }
        for (auto& thread : threads) thread.join();
        if (failure_) std::rethrow_exception(failure_);
        progress(static_cast<uint64_t>(std::max<int64_t>(0, received_)));
    }

private:
    void work() {
        ++busy_;
        ++running_;
        try {
            for (size_t next = next_++; next < files_.size() && !failure_seen_; next = next_++)
                download_blob(site_, id_, folder_, files_[next], [this](int64_t bytes) {
                    received_ += bytes;
                    if (failure_seen_) throw Interrupted();
                });
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!failure_) failure_ = std::current_exception();
            failure_seen_ = true;
        }
        --busy_;
    }

    const HubSite& site_;
    const std::string& id_;
    const CacheFolder& folder_;
    const std::vector<HubFile>& files_;
    std::atomic<size_t> next_ = 0;
    std::atomic<int64_t> received_ = 0;
    std::atomic<int> running_ = 0, busy_ = 0;
    std::atomic<bool> failure_seen_ = false;
    std::mutex mutex_;
    std::exception_ptr failure_;
};

void write_reference(const CacheFolder& folder, const std::string& revision) {
    if (revision == folder.commit) return;
    const fs::path file = folder.root / "refs" / revision;
    if (is_file(file) && read_file(file, 4096) == folder.commit) return;
    write_file_atomically(file, folder.commit);
}

void require_revision(const std::string& revision) {
    const bool plain = !revision.empty() && revision.size() < 200 &&
                       revision.find_first_not_of(
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == std::string::npos;
    if (!plain || revision.front() == '/' || revision.find("..") != std::string::npos)
        fail_usage("--revision ", quote(revision), ": is no branch, tag or commit");
}

/// What of a model's files may be asked for by itself, for messages.
std::string describe_single_files(const std::vector<HubFile>& files, const std::string& id) {
    constexpr size_t most_shown = 8;
    std::vector<std::string> names;
    for (const HubFile& file : files)
        if (is_single_file_name(file.path) && names.size() < most_shown) names.push_back(concat(id, "/", file.path));
    return names.empty() ? "" : "; files that may be asked for: " + join(names, ", ");
}

std::vector<HubFile> find_files(const HubListing& listing, const Wanted& wanted, bool prefer_half) {
    auto files = wanted.file.empty() ? choose_files(listing.files, prefer_half) : listing.files;
    if (!wanted.file.empty()) std::erase_if(files, [&](const HubFile& file) { return file.path != wanted.file; });
    if (!files.empty()) return files;
    const std::string others = describe_single_files(listing.files, wanted.id);
    if (!wanted.file.empty()) fail(wanted.id, ": has no file ", quote(wanted.file), others);
    fail(wanted.id, ": is no model in diffusers layout (none of its ", listing.files.size(),
         " files are weights of a known component)", others);
}

std::string fetch_wanted(const HubSite& site, const Wanted& wanted, const FetchSettings& settings,
                         const FetchReport& report) {
    const std::string& id = wanted.id;
    const HubListing listing = list_files(site, id, settings.revision);
    const auto files = find_files(listing, wanted, settings.prefer_half);
    const CacheFolder folder = cache_folder(id, listing.commit);
    const FetchPlan plan = make_plan(id, listing, files, folder);
    report.plan(plan);
    const fs::path snapshot = folder.root / "snapshots" / listing.commit;
    const std::string place = wanted.file.empty() ? snapshot.string() : (snapshot / wanted.file).string();
    if (settings.dry_run) return place;
    if (plan.missing_bytes > plan.free_bytes)
        fail(id, ": needs ", format_bytes(plan.missing_bytes), ", but the disk of ", folder.root.string(), " has ",
             format_bytes(plan.free_bytes), " left; HF_HUB_CACHE chooses another place");
    std::error_code error;
    fs::create_directories(folder.root / "blobs", error);
    if (error) fail((folder.root / "blobs").string(), ": cannot create folder: ", error.message());
    Downloads(site, id, folder, files).run([&](uint64_t done) { report.progress(done, plan.bytes); });
    for (const HubFile& file : files) link_to_blob(folder, file);
    write_reference(folder, settings.revision);
    return place;
}

}  // namespace

std::string fetch_model(const std::string& name, const FetchSettings& settings, const FetchReport& report) {
    require_revision(settings.revision);
    const auto all = wanted_by(name);
    const HubSite site = HubSite::from_environment();
    for (size_t i = 0;; ++i) try {
            return fetch_wanted(site, all[i], settings, report);
        } catch (const NoSuchModel& error) {
            if (i + 1 == all.size()) throw;
            report.note(concat(error.what(), "; trying ", all[i + 1].id));
        }
}

}  // namespace diffapple

// The folder layout of the Hub's cache: models--org--name/{blobs,refs,snapshots/<revision>}.
#include "diffapple/io/hub.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view folder_prefix = "models--";

/// Letters, digits, '-', '_', '.', as the Hub allows; not "." or "..", and with nothing that leads to another folder.
bool is_plain_name(const std::string& name) {
    const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
               c == '.';
    });
    return plain && !name.empty() && name != "." && name != "..";
}

/// "org/name" as the cache spells it, "models--org--name"; empty when it is no such id.
std::string folder_name(const std::string& id) {
    const size_t slash = id.find('/');
    if (slash == std::string::npos) return "";
    const std::string organisation = id.substr(0, slash), name = id.substr(slash + 1);
    if (!is_plain_name(organisation) || !is_plain_name(name)) return "";
    return concat(folder_prefix, organisation, "--", name);
}

/// The inverse of folder_name; empty when the folder is no model's.
std::string model_id(const std::string& folder) {
    if (!folder.starts_with(folder_prefix)) return "";
    const std::string names = folder.substr(folder_prefix.size());
    const size_t separator = names.find("--");
    if (separator == std::string::npos) return "";
    const std::string id = concat(names.substr(0, separator), "/", names.substr(separator + 2));
    return folder_name(id) == folder ? id : "";
}

std::optional<fs::path> snapshot(const fs::path& repository, const std::string& revision) {
    const fs::path folder = repository / "snapshots" / revision;
    if (!is_plain_name(revision) || !is_folder(folder)) return std::nullopt;
    return folder;
}

/// The snapshot that a branch or tag points to.
std::optional<fs::path> referred_snapshot(const fs::path& repository, const std::string& reference) {
    const fs::path relative(reference);
    const bool safe = std::all_of(relative.begin(), relative.end(), [](const fs::path& p) { return is_plain_name(p); });
    const fs::path file = repository / "refs" / relative;
    if (!safe || !is_file(file)) return std::nullopt;
    std::string revision = read_file(file, 4096);
    while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back()))) revision.pop_back();
    return snapshot(repository, revision);
}

/// In order of name; none where there is no such folder.
std::vector<fs::path> folders_in(const fs::path& parent) {
    std::vector<fs::path> folders;
    if (!is_folder(parent)) return folders;
    std::error_code error;
    for (fs::directory_iterator entry(parent, error), end; !error && entry != end; entry.increment(error))
        if (is_folder(entry->path())) folders.push_back(entry->path());
    if (error) fail(parent.string(), ": cannot list its folders: ", error.message());
    std::sort(folders.begin(), folders.end());
    return folders;
}

std::optional<fs::path> newest_snapshot(const fs::path& repository) {
    const std::vector<fs::path> snapshots = folders_in(repository / "snapshots");
    const auto written = [](const fs::path& path) {
        std::error_code error;
        const auto time = fs::last_write_time(path, error);
        if (error) fail(path.string(), ": cannot see when it was written: ", error.message());
        return time;
    };
    const auto newest = std::max_element(snapshots.begin(), snapshots.end(),
                                         [&](const fs::path& a, const fs::path& b) { return written(a) < written(b); });
    return newest == snapshots.end() ? std::nullopt : std::optional(*newest);
}

std::optional<fs::path> default_snapshot(const fs::path& repository) {
    const auto main = referred_snapshot(repository, "main");
    return main ? main : newest_snapshot(repository);
}

/// The value of an environment variable; empty for one that is not set.
std::string variable(const std::string& name) {
    const char* const value = std::getenv(name.c_str());
    return value ? value : "";
}

/// The home folder of a user ("": the one who runs the program); empty where there is none.
std::string home_of(const std::string& user) {
    if (user.empty() && !variable("HOME").empty()) return variable("HOME");
    const passwd* const entry = user.empty() ? ::getpwuid(::getuid()) : ::getpwnam(user.c_str());
    return entry && entry->pw_dir ? entry->pw_dir : "";
}

/// Python's os.path.expanduser: ~ and ~user at the start.
std::string expand_home(const std::string& path) {
    if (!path.starts_with("~")) return path;
    const size_t end = std::min(path.find('/'), path.size());
    const std::string home = home_of(path.substr(1, end - 1));
    return home.empty() ? path : home + path.substr(end);
}

bool is_of_variable(unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
}

/// Python's os.path.expandvars: $NAME and ${NAME}; what is not set stays as it is written.
std::string expand_variables(const std::string& path) {
    std::string expanded;
    for (size_t at = 0; at < path.size();) {
        const bool braces = path.compare(at, 2, "${") == 0;
        const size_t begin = at + (braces ? 2 : 1);
        size_t end = begin;
        while (path[at] == '$' && end < path.size() && (braces ? path[end] != '}' : is_of_variable(path[end]))) ++end;
        const size_t next = end + (braces && end < path.size() ? 1 : 0);
        const bool is_reference = end > begin && (!braces || next > end);
        const char* const value = is_reference ? std::getenv(path.substr(begin, end - begin).c_str()) : nullptr;
        expanded += value ? value : path.substr(at, next - at);
        at = next;
    }
    return expanded;
}

}  // namespace

std::vector<fs::path> hub_cache_folders() {
    std::vector<fs::path> folders;
    const auto add = [&](const std::string& parent, const fs::path& below) {
        if (parent.empty()) return;
        const std::string expanded = expand_variables(expand_home(parent));
        const fs::path folder = below.empty() ? fs::path(expanded) : expanded / below;
        if (std::find(folders.begin(), folders.end(), folder) == folders.end()) folders.push_back(folder);
    };
    const fs::path of_library = fs::path("huggingface") / "hub";
    add(variable("HF_HUB_CACHE"), "");
    add(variable("HUGGINGFACE_HUB_CACHE"), "");
    add(variable("HF_HOME"), "hub");
    add(variable("XDG_CACHE_HOME"), of_library);
    add(home_of(""), ".cache" / of_library);
    return folders;
}

fs::path hub_token_file() {
    const auto expanded = [](const std::string& path) { return fs::path(expand_variables(expand_home(path))); };
    if (const std::string file = variable("HF_TOKEN_PATH"); !file.empty()) return expanded(file);
    if (const std::string home = variable("HF_HOME"); !home.empty()) return expanded(home) / "token";
    if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty())
        return expanded(cache) / "huggingface" / "token";
    return fs::path(home_of("")) / ".cache" / "huggingface" / "token";
}

bool is_hub_id(const std::string& id) {
    return !folder_name(id).empty();
}

std::string hub_folder_name(const std::string& id) {
    return folder_name(id);
}

std::optional<fs::path> find_hub_snapshot(const std::string& id) {
    const size_t at = id.find('@');
    const std::string folder = folder_name(id.substr(0, at));
    if (folder.empty()) return std::nullopt;
    for (const fs::path& cache : hub_cache_folders()) {
        const fs::path repository = cache / folder;
        auto found = at == std::string::npos ? default_snapshot(repository) : snapshot(repository, id.substr(at + 1));
        if (!found && at != std::string::npos) found = referred_snapshot(repository, id.substr(at + 1));
        if (found) return found;
    }
    return std::nullopt;
}

bool stays_inside(const std::string& path) {
    constexpr size_t longest = 1000;
    const bool odd =
        std::any_of(path.begin(), path.end(), [](unsigned char c) { return c < ' ' || c == '\\' || c == 0x7f; });
    bool climbs = path.empty() || path.size() > longest;
    for (size_t begin = 0; begin <= path.size();) {
        const size_t end = std::min(path.find('/', begin), path.size());
        const std::string part = path.substr(begin, end - begin);
        climbs = climbs || part.empty() || part == "." || part == "..";
        begin = end + 1;
    }
    return !odd && !climbs;
}

std::optional<HubFileName> parse_hub_file(const std::string& text) {
    const size_t first = text.find('/');
    const size_t second = first == std::string::npos ? first : text.find('/', first + 1);
    if (second == std::string::npos) return std::nullopt;
    HubFileName name{.id = text.substr(0, second), .path = text.substr(second + 1)};
    if (!is_hub_id(name.id.substr(0, name.id.find('@'))) || !stays_inside(name.path)) return std::nullopt;
    return name;
}

std::optional<fs::path> find_hub_file(const std::string& name) {
    const auto file = parse_hub_file(name);
    const auto snapshot = file ? find_hub_snapshot(file->id) : std::nullopt;
    if (!snapshot || !is_file(*snapshot / file->path)) return std::nullopt;
    return *snapshot / file->path;
}

std::vector<HubModel> list_hub_models() {
    std::vector<HubModel> models;
    for (const fs::path& cache : hub_cache_folders()) {
        for (const fs::path& repository : folders_in(cache)) {
            const std::string id = model_id(repository.filename().string());
            const auto found = id.empty() ? std::nullopt : default_snapshot(repository);
            const bool known = std::any_of(models.begin(), models.end(), [&](const HubModel& m) { return m.id == id; });
            if (found && !known) models.push_back({id, *found, repository});
        }
    }
    return models;
}

}  // namespace diffapple

// Prompts with lists in them: {a|b|c}, and __name__ for the lines of a file.
#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "diffapple/io/files.h"
#include "diffapple/recipes/jobs.h"

namespace diffapple {
namespace {

/// A list inside a prompt.
struct FoundList {
    size_t begin, end;  ///< of all of it
    std::vector<std::string> texts;
};

/// What stands between braces that begin at `begin`, cut at the bars that are not inside other braces; absent where
/// they do not close, or hold no bar.
std::optional<FoundList> find_braces(std::string_view text, size_t begin) {
    FoundList found{.begin = begin, .end = 0, .texts = {}};
    int depth = 0;
    size_t start = begin + 1;
    for (size_t i = begin; i < text.size(); ++i) {
        if (text[i] == '{') ++depth;
        const bool closes = text[i] == '}' && --depth == 0;
        if (closes || (text[i] == '|' && depth == 1)) {
            found.texts.emplace_back(text.substr(start, i - start));
            start = i + 1;
        }
        if (!closes) continue;
        found.end = i + 1;
        return found.texts.size() > 1 ? std::optional(found) : std::nullopt;
    }
    return std::nullopt;
}

bool is_name_character(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '/';
}

std::vector<std::string> lines_of(const std::filesystem::path& folder, const std::string& name) {
    constexpr uintmax_t largest = 1 << 20;
    const std::filesystem::path file = folder / (name + ".txt");
    if (!is_file(file))
        fail_usage("__", name, "__: there is no file ", file.string(), "; --wildcard-folder DIR names its folder");
    std::vector<std::string> texts;
    for (const PromptLine& line : find_prompt_lines(read_file(file, largest), file.string()))
        texts.push_back(line.text);
    return texts;
}

/// __name__ that begins at `begin`.
std::optional<FoundList> find_file(std::string_view text, size_t begin, const std::filesystem::path& folder) {
    constexpr std::string_view mark = "__";
    if (text.substr(begin, mark.size()) != mark) return std::nullopt;
    const size_t first = begin + mark.size(), last = text.find(mark, first);
    if (last == std::string_view::npos || last == first) return std::nullopt;
    const std::string_view name = text.substr(first, last - first);
    if (!std::all_of(name.begin(), name.end(), is_name_character) || name.front() == '/') return std::nullopt;
    return FoundList{.begin = begin, .end = last + mark.size(), .texts = lines_of(folder, std::string(name))};
}

std::optional<FoundList> find_list(std::string_view text, const std::filesystem::path& folder) {
    for (size_t i = 0; i < text.size(); ++i) {
        auto found = text[i] == '{' ? find_braces(text, i) : text[i] == '_' ? find_file(text, i, folder) : std::nullopt;
        if (found) return found;
    }
    return std::nullopt;
}

std::vector<std::string> expand(const std::string& text, const std::filesystem::path& folder, int depth) {
    constexpr int deepest = 16;  // a file that names itself never ends
    if (depth > deepest) fail_usage("lists in lists, more than ", deepest, " deep; does a file name itself?");
    const auto list = find_list(text, folder);
    if (!list) return {text};
    const auto tails = expand(text.substr(list->end), folder, depth);
    std::vector<std::string> all;
    for (const std::string& choice : list->texts)
        for (const std::string& head : expand(choice, folder, depth + 1)) {
            if (all.size() + tails.size() > max_pictures_of_run)
                fail_usage("stands for more than ", max_pictures_of_run, " prompts");
            for (const std::string& tail : tails) all.push_back(text.substr(0, list->begin) + head + tail);
        }
    return all;
}

}  // namespace

std::vector<std::string> expand_wildcards(const std::string& prompt, const std::filesystem::path& folder) {
    std::vector<std::string> all = expand(prompt, folder, 0);
    std::unordered_set<std::string> seen;
    std::erase_if(all, [&](const std::string& text) { return !seen.insert(text).second; });
    return all;
}

}  // namespace diffapple

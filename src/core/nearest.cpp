#include "diffapple/core/nearest.h"

#include <algorithm>
#include <cctype>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"

namespace diffapple {
namespace {

/// Optimal string alignment distance (Damerau's, where no part is edited twice).
size_t distance_between(const std::string& a, const std::string& b) {
    std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
    for (size_t i = 0; i <= a.size(); ++i) rows[i][0] = i;
    for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
    for (size_t i = 1; i <= a.size(); ++i)
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t change = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, change});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    return rows[a.size()][b.size()];
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
    constexpr size_t longest = 100, shortest_beginning = 3;
    if (word.empty() || word.size() > longest) return "";
    const std::string typed = lower_ascii(word);
    std::string closest;
    size_t least =
        std::max<size_t>(1, (typed.size() - std::min<size_t>(typed.size(), typed.find_first_not_of('-'))) / 3);
    std::vector<std::string> begun;
    for (const std::string& candidate : known) {
        const std::string other = lower_ascii(candidate);
        if (typed.size() >= shortest_beginning && other.starts_with(typed)) begun.push_back(candidate);
        const size_t distance = distance_between(typed, other);
        if (distance < least || (distance == least && closest.empty())) {
            least = distance;
            closest = candidate;
        }
    }
    return closest.empty() && begun.size() == 1 ? begun.front() : closest;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
    const std::string closest = nearest(word, known);
    return closest.empty() ? "" : concat("; did you mean ", closest, "?");
}

}  // namespace diffapple

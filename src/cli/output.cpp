#include "diffapple/cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "diffapple/cli/terminal.h"
#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"

namespace diffapple {

namespace {

/// Bounds, in characters, of what may be a stranger's text: on a line of its own, and in a cell, whose width all rows
/// of its table get.
constexpr size_t longest_message = 16'000, longest_cell = 1'000;

void write_line(const std::string& line) {
    const bool written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size() &&
                         std::fputc('\n', stdout) != EOF && std::fflush(stdout) == 0;
    if (!written) fail("standard output cannot be written: ", std::strerror(errno));
}

bool is_terminal() {
    return isatty(STDOUT_FILENO) != 0;
}

template <typename Json>
void write_json(const Json& object, int indent) {
    write_line(object.dump(indent, ' ', /*ensure_ascii=*/is_terminal(), Json::error_handler_t::replace));
}

}  // namespace

void print_result(const std::string& text) {
    write_line(printable(text));
}

void print_data(const std::string& lines) {
    const std::string text = lines.ends_with('\n') ? lines.substr(0, lines.size() - 1) : lines;
    write_line(is_terminal() ? printable(text) : text);
}

void print_path(const std::filesystem::path& path) {
    write_line(is_terminal() ? printable(path.string()) : path.string());
}

void print_json(const nlohmann::json& object) {
    write_json(object, -1);
}

void print_indented_json(const nlohmann::ordered_json& object) {
    write_json(object, 2);
}

namespace {

std::string as_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return shorten(printable(text), longest_message);
}

}  // namespace

void print_message(const std::string& text) {
    std::fprintf(stderr, "%s\n", as_line(text).c_str());
}

void print_error(const std::string& text) {
    std::fprintf(stderr, "%s %s\n", red("diffapple:", STDERR_FILENO).c_str(), as_line(text).c_str());
}

std::string format_table(std::vector<std::vector<std::string>> rows) {
    std::vector<size_t> widths;
    for (auto& row : rows)
        for (size_t i = 0; i < row.size(); ++i) {
            row[i] = shorten(printable(row[i]), longest_cell);
            if (i >= widths.size()) widths.push_back(0);
            widths[i] = std::max(widths[i], count_characters(row[i]));
        }
    std::string table;
    for (const auto& row : rows) {
        std::string line;
        for (size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line += std::string(widths[i] + 2 - count_characters(row[i]), ' ');
        }
        table += (table.empty() ? "" : "\n") + line;
    }
    return table;
}

namespace {

std::vector<size_t> widths_of(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths(rows.front().size());
    for (const auto& row : rows)
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], count_characters(row[i]));
    return widths;
}

size_t table_width(const std::vector<size_t>& widths) {
    size_t width = 2 * (widths.size() - 1);
    for (const size_t column : widths) width += column;
    return width;
}

void remove_column(std::vector<std::vector<std::string>>& rows, size_t column) {
    for (auto& row : rows) row.erase(row.begin() + static_cast<ptrdiff_t>(column));
}

/// The last characters, behind an ellipsis: a path's end tells more than its beginning.
std::string keep_end(const std::string& text, size_t most) {
    size_t begin = text.size(), characters = 1;
    while (begin > 0 && characters < most)
        if ((static_cast<unsigned char>(text[--begin]) & 0xC0) != 0x80) ++characters;
    return begin == 0 ? text : "\u2026" + text.substr(begin);
}

/// How many bytes two texts begin with alike.
size_t common_beginning(const std::string& a, const std::string& b) {
    return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// A value of a column in at most so many characters: its beginning, or, where another value begins with the same, what
/// stands from the word on in which they differ.
std::string shorten_apart(const std::string& value, const std::set<std::string>& values, size_t most) {
    const auto at = values.find(value);
    size_t alike = at == values.begin() ? 0 : common_beginning(value, *std::prev(at));
    if (std::next(at) != values.end()) alike = std::max(alike, common_beginning(value, *std::next(at)));
    const bool shows_difference = count_characters(value.substr(0, alike)) + 2 <= most;
    const size_t end_of_words = shows_difference ? std::string::npos : value.find_last_of(" /", alike - 1);
    if (end_of_words == std::string::npos) return shorten(value, most - 1);
    const std::string rest = "\u2026" + value.substr(end_of_words + 1);
    return count_characters(rest) > most ? shorten(rest, most - 1) : rest;
}

/// Cells of at most `width` characters a row, the longest columns cut.
std::vector<std::vector<std::string>> cut_cells(std::vector<std::vector<std::string>> rows, size_t width) {
    constexpr size_t least = 4;
    auto widths = widths_of(rows);
    while (table_width(widths) > width) {
        const auto widest = std::max_element(widths.begin(), widths.end());
        if (*widest <= least) break;
        --*widest;
    }
    for (size_t column = 0; column < widths.size(); ++column) {
        std::set<std::string> values;
        for (size_t i = 1; i < rows.size(); ++i) values.insert(rows[i][column]);
        for (auto& row : rows) {
            std::string& cell = row[column];
            if (count_characters(cell) <= widths[column]) continue;
            const bool is_title = &row == &rows.front(), is_last = column + 1 == widths.size();
            cell = is_title  ? shorten(cell, widths[column] - 1)
                   : is_last ? keep_end(cell, widths[column])
                             : shorten_apart(cell, values, widths[column]);
        }
    }
    return rows;
}

/// Whether rows that were different in a column still are.
bool tells_apart(const std::vector<std::vector<std::string>>& rows, const std::vector<std::vector<std::string>>& cut) {
    for (size_t column = 0; column < rows.front().size(); ++column) {
        std::set<std::string> before, after;
        for (size_t i = 0; i < rows.size(); ++i) {
            before.insert(rows[i][column]);
            after.insert(cut[i][column]);
        }
        if (after.size() < before.size()) return false;
    }
    return true;
}

}  // namespace

std::string wrap_table(std::vector<std::vector<std::string>> rows, size_t width) {
    constexpr size_t least = 20, below = 4;
    auto widths = widths_of(rows);
    widths.back() = 0;
    const size_t left = table_width(widths);
    const bool beside = left + least <= width;
    for (auto& row : rows) {
        std::string& cell = row.back();
        const bool fits = left + count_characters(cell) <= width;
        if (!fits && !beside) cell = "\n" + std::string(below, ' ') + wrap_words(cell, width, below, below);
        if (!fits && beside) cell = wrap_words(cell, width, left, left);
    }
    return format_table(rows);
}

std::string fit_table(std::vector<std::vector<std::string>> rows, size_t width,
                      const std::vector<std::string>& expendable) {
    constexpr size_t least = 12;  // to which cells are cut before a column is left out
    for (auto& row : rows)
        for (auto& cell : row) cell = shorten(printable(cell), longest_cell);
    if (table_width(widths_of(rows)) <= width) return format_table(rows);
    for (const auto& name : expendable) {
        auto widths = widths_of(rows);
        for (auto& column : widths) column = std::min(column, least);
        if (rows.front().size() < 2 || (table_width(widths) <= width && tells_apart(rows, cut_cells(rows, width))))
            break;
        const auto found = std::find(rows.front().begin(), rows.front().end(), name);
        if (found != rows.front().end()) remove_column(rows, static_cast<size_t>(found - rows.front().begin()));
    }
    return format_table(cut_cells(std::move(rows), width));
}

}  // namespace diffapple

#include "diffapple/cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"

namespace diffapple {

namespace {

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

void print_message(const std::string& text) {
    std::string line = text;
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::fprintf(stderr, "%s\n", printable(line).c_str());
}

std::string format_table(std::vector<std::vector<std::string>> rows) {
    std::vector<size_t> widths;
    for (auto& row : rows)
        for (size_t i = 0; i < row.size(); ++i) {
            row[i] = printable(row[i]);
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

}  // namespace diffapple

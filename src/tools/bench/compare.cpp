#include "diffapple/tools/bench/compare.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/tools/bench/result.h"

namespace diffapple {
namespace {

std::string show(double value, const char* format = "%.3g") {
    char text[32];
    std::snprintf(text, sizeof(text), format, value);
    return text;
}

/// A positive number of a result.
double positive(const JsonFields& fields, const std::string& key) {
    const double value = fields.number(key);
    if (value <= 0) fields.reject(key, "must be greater than 0");
    return value;
}

ComparedWork& find_work(BenchComparison& comparison, const JsonFields& fields) {
    constexpr int64_t largest = 1'000'000;
    const ComparedWork work{.experiment = fields.text("experiment"),
                            .batch_size = fields.integer("batch_size", 1, largest),
                            .width = fields.integer("width", 1, largest),
                            .height = fields.integer("height", 1, largest)};
    for (auto& known : comparison.works)
        if (known.title() == work.title()) return known;
    return comparison.works.emplace_back(work);
}

/// The name of what computed: the CPU, or the GPU where the file names it.
std::string processor(const JsonFields& machine, const std::string& device) {
    const std::string cpu = machine.text("cpu"), gpu = machine.text("gpu", cpu);
    return device == "cpu" || gpu == device ? cpu : gpu;
}

void add_file(const std::string& file, BenchComparison& comparison) {
    const nlohmann::json contents = read_json_file(file);
    const std::string name = std::filesystem::path(file).filename().string();
    const JsonFields fields(contents, name);
    if (fields.integer("schema", 1, 1'000'000) > bench_schema)
        fields.reject("schema", "is of a newer diffapple; this one reads up to " + std::to_string(bench_schema));
    const JsonFields machine = fields.object("machine");
    const auto& results = fields.value("results");
    if (!results.is_array()) fields.reject("results", "must be a list");
    constexpr size_t most_results = 1000;
    if (results.size() > most_results) fields.reject("results", concat("has more than ", most_results, " entries"));
    for (size_t i = 0; i < results.size(); ++i) {
        const JsonFields result(results[i], concat(name, ": results[", i, ']'));
        if (!result.has("it_per_s")) continue;
        const std::string device = result.text("device");
        find_work(comparison, result)
            .results.push_back({.machine = processor(machine, device),
                                .device = device,
                                .dtype = result.text("dtype"),
                                .it_per_s = positive(result, "it_per_s"),
                                .ms_per_step = positive(result, "ms_per_step"),
                                .peak_bytes = result.number("peak_bytes", 0.0)});
    }
}

/// Text for XML: its markup characters replaced, and what XML cannot hold (control characters, U+FFFE, U+FFFF) left
/// out.
std::string escape_xml(const std::string& text) {
    std::u32string kept = decode_utf8(text);
    std::erase_if(kept, [](char32_t c) { return c < 0x20 || c == 0xfffe || c == 0xffff; });
    return escape_markup(encode_utf8(kept));
}

/// Draws from top to bottom.
class Chart {
public:
    std::string finish() const {
        const std::string head = concat(R"(<svg xmlns="http://www.w3.org/2000/svg" width=")", width, R"(" height=")",
                                        y_ + margin, R"(" font-family="Helvetica, Arial, sans-serif" font-size="13">)",
                                        '\n', R"(<rect width="100%" height="100%" fill="#ffffff"/>)", '\n');
        return head + body_ + "</svg>\n";
    }

    void add_work(const ComparedWork& work) {
        y_ += block_gap;
        add_text(margin, y_, work.title() + ": it/s", R"( font-weight="bold" font-size="15")");
        y_ += title_gap;
        const double most = work.results.front().it_per_s;
        for (const auto& result : work.results) add_bar(result, result.it_per_s / most);
    }

private:
    static constexpr int width = 900, margin = 20, label_width = 400, bar_height = 18, bar_gap = 8;
    static constexpr int block_gap = 30, title_gap = 14, value_width = 70;

    void add_bar(const ComparedResult& result, double share) {
        const int left = margin + label_width;
        const double length = std::max(1.0, share * (width - left - value_width - margin));
        body_ += concat("<rect x=\"", left, "\" y=\"", y_, "\" width=\"", show(length, "%.1f"), "\" height=\"",
                        bar_height, "\" rx=\"2\" fill=\"", colour(result.device), "\"/>\n");
        const int baseline = y_ + bar_height - 5;
        add_text(left - 10, baseline, result.label(), R"( text-anchor="end")");
        add_text(left + static_cast<int>(length) + 8, baseline, show(result.it_per_s), "");
        y_ += bar_height + bar_gap;
    }

    void add_text(int x, int y, const std::string& text, const std::string& attributes) {
        body_ += concat("<text x=\"", x, "\" y=\"", y, "\" fill=\"#222222\"", attributes, ">", escape_xml(text),
                        "</text>\n");
    }

    static const char* colour(const std::string& device) {
        if (device.starts_with("cuda")) return "#6a9f3b";
        return device == "mps" ? "#3b6fb6" : "#8a8f98";
    }

    std::string body_;
    int y_ = 0;
};

}  // namespace

std::string ComparedResult::label() const {
    constexpr size_t name_characters = 36;  // what a label of the picture has room for
    return shorten(machine, name_characters) + ", " + device + ' ' + dtype;
}

std::string ComparedWork::title() const {
    return concat(experiment, ", ", width, 'x', height, ", batch ", batch_size);
}

std::vector<std::vector<std::string>> BenchComparison::table() const {
    std::vector<std::vector<std::string>> rows{
        {"experiment", "size", "batch", "machine", "device", "dtype", "it/s", "ms/step", "peak GB", "to the fastest"}};
    for (const auto& work : works)
        for (const auto& result : work.results)
            rows.push_back({work.experiment, concat(work.width, 'x', work.height), concat(work.batch_size),
                            result.machine, result.device, result.dtype, show(result.it_per_s),
                            show(result.ms_per_step, "%.0f"),
                            result.peak_bytes > 0 ? show(result.peak_bytes / 1e9, "%.1f") : "-",
                            show(result.it_per_s / work.results.front().it_per_s, "%.2f")});
    return rows;
}

std::string BenchComparison::svg() const {
    Chart chart;
    for (const auto& work : works) chart.add_work(work);
    return chart.finish();
}

BenchComparison compare_benches(const std::vector<std::string>& files) {
    BenchComparison comparison;
    for (const auto& file : files) add_file(file, comparison);
    if (comparison.works.empty()) fail("--compare: none of these files holds a measured row");
    for (auto& work : comparison.works)
        std::stable_sort(work.results.begin(), work.results.end(),
                         [](const auto& a, const auto& b) { return a.it_per_s > b.it_per_s; });
    return comparison;
}

}  // namespace diffapple

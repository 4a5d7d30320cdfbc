#include "diffapple/tools/bench/result.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "diffapple/core/csv.h"
#include "diffapple/core/error.h"
#include "diffapple/core/version.h"

namespace diffapple {

using nlohmann::ordered_json;

Timing summarize(std::vector<double> seconds) {
    if (seconds.empty()) fail("bench: there is no timing to summarize");
    std::sort(seconds.begin(), seconds.end());
    const size_t half = seconds.size() / 2;
    const double median = seconds.size() % 2 == 1 ? seconds[half] : (seconds[half - 1] + seconds[half]) / 2;
    return {.best = seconds.front(), .median = median, .spread = (seconds.back() - seconds.front()) / median};
}

Sustained first_and_last_minute(const std::vector<Stretch>& stretches) {
    if (stretches.empty()) fail("bench: a sustained run without a step");
    const double end = stretches.back().end, window = std::min(60.0, end / 2);
    const auto rate = [&](double from, double to) {
        double turns = 0, seconds = 0;
        for (const auto& stretch : stretches) {
            const double middle = stretch.end - stretch.seconds / 2;
            if (middle < from || middle > to) continue;
            turns += static_cast<double>(stretch.turns);
            seconds += stretch.seconds;
        }
        return turns / seconds;
    };
    return {.minutes = end / 60, .first_it_per_s = rate(0, window), .last_it_per_s = rate(end - window, end)};
}

std::string status_name(BenchStatus status) {
    switch (status) {
        case BenchStatus::pending:
            return "not reached";
        case BenchStatus::measured:
            return "measured";
        case BenchStatus::absent:
            return "absent";
        case BenchStatus::refused:
            return "refused";
        case BenchStatus::failed:
            return "failed";
        case BenchStatus::out_of_time:
            return "out of time";
    }
    return "";
}

std::string BenchResult::title() const {
    return concat(experiment, ' ', device, ' ', dtype, ' ', shape.size.width, 'x', shape.size.height, " batch ",
                  shape.batch_size);
}

double BenchResult::gemm_share() const {
    return flop_per_step / summarize(step_seconds).best / gemm_flop_per_second;
}

namespace {

constexpr double giga = 1e9, milliseconds = 1e3;

template <typename T>
ordered_json nullable(const std::optional<T>& value) {
    return value ? ordered_json(*value) : ordered_json();
}

ordered_json nullable(const std::string& text) {
    return text.empty() ? ordered_json() : ordered_json(text);
}

void add_timing(const BenchResult& result, ordered_json& object) {
    const bool measured = !result.step_seconds.empty();
    const Timing timing = measured ? summarize(result.step_seconds) : Timing{};
    const auto when_measured = [measured](double value) { return measured ? ordered_json(value) : ordered_json(); };
    object["ms_per_step"] = when_measured(milliseconds * timing.median);
    object["ms_per_step_best"] = when_measured(milliseconds * timing.best);
    object["spread"] = when_measured(timing.spread);
    object["it_per_s"] = when_measured(1 / timing.median);
    object["it_per_s_best"] = when_measured(1 / timing.best);
}

void add_memory(const BenchResult& result, ordered_json& object) {
    const MemoryUse memory = result.memory.value_or(MemoryUse{});
    const bool known = result.memory.has_value();
    object["peak_bytes"] = known ? ordered_json(memory.peak()) : ordered_json();
    object["device_bytes"] = nullable(memory.device);
    object["resident_bytes"] = known ? ordered_json(memory.resident) : ordered_json();
    object["swap_bytes"] = known ? ordered_json(memory.swap) : ordered_json();
    object["recommended_share"] = nullable(memory.recommended_share);
}

void add_sustained(const BenchResult& result, ordered_json& object) {
    const auto& sustained = result.sustained;
    object["sustained_minutes"] = sustained ? ordered_json(sustained->minutes) : ordered_json();
    object["first_minute_it_per_s"] = sustained ? ordered_json(sustained->first_it_per_s) : ordered_json();
    object["last_minute_it_per_s"] = sustained ? ordered_json(sustained->last_it_per_s) : ordered_json();
}

void add_quoted(const BenchResult& result, ordered_json& object) {
    const auto& quoted = result.quoted;
    object["quoted_m2_it_per_s"] = quoted ? ordered_json(quoted->m2_it_per_s) : ordered_json();
    object["quoted_rtx_a5000_it_per_s"] = quoted ? ordered_json(quoted->rtx_a5000_it_per_s) : ordered_json();
    object["quoted_memory_bytes"] = quoted ? ordered_json(quoted->memory_bytes) : ordered_json();
}

ordered_json to_json(const BenchResult& result) {
    const bool planned = result.shape.size.width > 0;
    ordered_json object{
        {"experiment", result.experiment},
        {"model", result.model},
        {"weights", planned ? ordered_json(result.random_weights ? "random" : "checkpoint") : ordered_json()},
        {"device", nullable(result.device)},
        {"dtype", nullable(result.dtype)},
        {"batch_size", planned ? ordered_json(result.shape.batch_size) : ordered_json()},
        {"width", planned ? ordered_json(result.shape.size.width) : ordered_json()},
        {"height", planned ? ordered_json(result.shape.size.height) : ordered_json()},
        {"steps", planned ? ordered_json(result.steps) : ordered_json()},
        {"repeats", result.step_seconds.size()},
        {"status", status_name(result.status)},
        {"note", nullable(result.note)}};
    add_timing(result, object);
    object["load_s"] = nullable(result.load_seconds);
    object["load_peak_bytes"] = result.load_memory ? ordered_json(result.load_memory->peak()) : ordered_json();
    object["encode_s"] = nullable(result.encode_seconds);
    object["decode_s"] = nullable(result.decode_seconds);
    add_memory(result, object);
    object["gflop_per_step"] = planned ? ordered_json(result.flop_per_step / giga) : ordered_json();
    const bool measured = !result.step_seconds.empty() && result.gemm_flop_per_second > 0;
    object["gemm_gflop_per_s"] = measured ? ordered_json(result.gemm_flop_per_second / giga) : ordered_json();
    object["gemm_share"] = measured ? ordered_json(result.gemm_share()) : ordered_json();
    add_sustained(result, object);
    add_quoted(result, object);
    return object;
}

ordered_json to_json(const std::vector<OperatorTime>& operators) {
    ordered_json list = ordered_json::array();
    for (const auto& [name, calls, seconds] : operators)
        list.push_back({{"name", nullable(name)}, {"calls", calls}, {"ms", milliseconds * seconds}});
    return list;
}

ordered_json to_json(const BenchMachine& machine) {
    return {{"cpu", machine.cpu},          {"gpu", nullable(machine.gpu)},         {"cores", machine.cores},
            {"threads", machine.threads},  {"memory_bytes", machine.memory_bytes}, {"os", machine.os},
            {"libtorch", machine.libtorch}};
}

std::string csv_text(const ordered_json& value) {
    if (value.is_null()) return "";
    return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

nlohmann::ordered_json to_json(const BenchReport& report) {
    ordered_json results = ordered_json::array();
    for (const auto& result : report.results) {
        results.push_back(to_json(result));
        if (result.step_operators.empty()) continue;
        results.back()["step_operators"] = to_json(result.step_operators);
        results.back()["decode_operators"] = to_json(result.decode_operators);
    }
    return {{"schema", bench_schema},
            {"program", std::string("diffapple ") + version},
            {"machine", to_json(report.machine)},
            {"results", results}};
}

std::string to_csv(const BenchReport& report) {
    const ordered_json machine = to_json(report.machine);
    std::string header, rows;
    for (const auto& result : report.results) {
        ordered_json columns;
        for (const auto& key : {"cpu", "gpu", "os", "libtorch"}) columns[key] = machine.at(key);
        columns.update(to_json(result));
        std::vector<std::string> names, values;
        for (const auto& [key, value] : columns.items()) {
            names.push_back(key);
            values.push_back(csv_text(value));
        }
        header = csv_line(names);
        rows += csv_line(values);
    }
    return header + rows;
}

}  // namespace diffapple

// Running the plan: load, warm up, and repeat in turns.
#include "diffapple/tools/bench/bench.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/tools/bench/budget.h"
#include "gemm.h"
#include "memory.h"

namespace diffapple {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A row at work.
struct Row {
    BenchResult* result;
    bool ready = false;       ///< warmed up, and nothing went wrong or ran out of time since
    double step_seconds = 0;  ///< of the last step
};

/// Rows that share a loaded model.
struct Group {
    const BenchExperiment* experiment;
    Placement placement;
    Gemm* gemm;
    std::vector<Row> rows;  ///< the cheapest first
    std::unique_ptr<BenchModel> model;

    bool any_ready() const {
        return std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.ready; });
    }
    uint64_t bytes() const { return static_cast<uint64_t>(experiment->parameters) * c10::elementSize(placement.dtype); }
};

std::string minutes(double seconds) {
    return seconds < 100 ? format_fixed(seconds, 0) + " s" : format_fixed(seconds / 60, 1) + " min";
}

class BenchRun {
public:
    BenchRun(const BenchSettings& settings, const Tell& tell, std::vector<BenchResult>& rows)
        : settings_(settings), tell_(tell), rows_(rows), experiments_(bench_experiments()) {}

    void run() {
        rows_ = plan_bench(settings_, experiments_);
        make_groups();
        explain_weights();
        announce_duration();
        for (auto& round : make_rounds()) run_round(round);
    }

private:
    Gemm* find_gemm(BenchResult& row, const Placement& placement);
    void make_groups();
    void explain_weights() const;
    void announce_duration();
    std::vector<std::vector<Group*>> make_rounds();
    void run_round(const std::vector<Group*>& round);
    void load(Group& group, MemoryMeter& meter);
    double expected_warm_up(const Group& group, const Row& row) const;
    void warm_up(Group& group, Row& row, MemoryMeter& meter);
    void repeat(Group& group, Row& row);
    void sustain(Group& group, Row& row);
    void profile(Group& group, Row& row);

    /// Runs `work`, which is expected to take so long, unless it does not fit into what is left of the time. An
    /// exception fails the row and no other. True when the work is done.
    template <typename Work>
    bool attempt(BenchResult& row, double expected_seconds, Work work);

    const BenchSettings& settings_;
    const Tell& tell_;
    std::vector<BenchResult>& rows_;
    std::vector<BenchExperiment> experiments_;
    std::map<std::string, Gemm> gemms_;  ///< by device and dtype
    std::vector<Group> groups_;
    Budget budget_{/*seconds=*/0};
    uint64_t resident_at_start_ = resident_memory();
};

/// The yardstick for a row, or null where not even that runs (too old a device for a dtype).
Gemm* BenchRun::find_gemm(BenchResult& row, const Placement& placement) {
    const std::string key = row.device + ' ' + row.dtype;
    try {
        return &gemms_.try_emplace(key, placement).first->second;
    } catch (const std::exception& error) {
        row.status = BenchStatus::failed;
        row.note = first_line(error);
        return nullptr;
    }
}

void BenchRun::make_groups() {
    for (auto& row : rows_) {
        check_stop();
        if (row.status != BenchStatus::pending) continue;
        const c10::Device device = find_device(row.device);
        const Placement placement{device, find_dtype(row.dtype, device)};
        Gemm* const gemm = find_gemm(row, placement);
        if (!gemm) continue;
        auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) {
            return g.experiment->name == row.experiment && g.gemm == gemm;
        });
        if (group == groups_.end()) {
            const auto experiment = std::find_if(experiments_.begin(), experiments_.end(),
                                                 [&](const BenchExperiment& e) { return e.name == row.experiment; });
            group = groups_.insert(groups_.end(), Group{&*experiment, placement, gemm, {}, nullptr});
        }
        group->rows.push_back({&row});
    }
    for (auto& group : groups_)
        std::stable_sort(group.rows.begin(), group.rows.end(),
                         [](const Row& a, const Row& b) { return a.result->flop_per_step < b.result->flop_per_step; });
}

void BenchRun::explain_weights() const {
    const std::string* told = nullptr;
    for (const auto& row : rows_) {
        if (row.status != BenchStatus::pending || (told && *told == row.model)) continue;
        told = &row.model;
        if (!row.random_weights)
            tell_(row.experiment + ": the weights of " + row.model + " on this machine");
        else
            tell_(row.experiment + ": " + row.model + " in full size with random weights (" +
                  (settings_.random ? "--random" : "it is not on this machine") +
                  "); speed does not depend on their values, and \"load\" is the time to draw them");
    }
}

void BenchRun::announce_duration() {
    std::vector<BenchWork> work;
    for (const auto& group : groups_)
        for (const auto& [row, ready, seconds] : group.rows) {
            const bool first = row == group.rows.front().result;
            const BenchShape& shape = row->shape;
            work.push_back({.flop_per_step = row->flop_per_step,
                            .flop_per_second = group.gemm->best_flop_per_second(),
                            .parameters = first ? static_cast<double>(group.experiment->parameters) : 0,
                            .pixels = static_cast<double>(shape.batch_size * shape.size.width * shape.size.height),
                            .flop_to_encode = group.experiment->flop_to_encode(shape),
                            .flop_to_decode = group.experiment->flop_to_decode(shape)});
        }
    if (work.empty()) return;
    const double estimate = budget_.elapsed() + estimate_seconds(work, settings_);
    budget_.set_limit(limit_seconds(estimate, settings_.max_minutes));
    tell_(concat(counted(work.size(), "configuration"), ", ", counted(settings_.repeats, "repeat"), " of ",
                 counted(settings_.steps, "step"), ": about ", minutes(estimate), ", at most ",
                 minutes(budget_.limit())));
}

/// Models that fit into half of the free memory together are measured in turns.
std::vector<std::vector<Group*>> BenchRun::make_rounds() {
    const uint64_t room = available_memory() / 2;
    std::vector<std::vector<Group*>> rounds;
    uint64_t used = 0;
    for (auto& group : groups_) {
        if (rounds.empty() || used + group.bytes() > room) {
            rounds.emplace_back();
            used = 0;
        }
        used += group.bytes();
        rounds.back().push_back(&group);
    }
    return rounds;
}

template <typename Work>
bool BenchRun::attempt(BenchResult& row, double expected_seconds, Work work) {
    check_stop();
    if (!budget_.allows(expected_seconds)) {
        if (row.step_seconds.empty()) row.status = BenchStatus::out_of_time;
        row.note = concat("out of time after ", row.step_seconds.size(), " of ", counted(row.repeats, "repeat"));
        return false;
    }
    try {
        work();
        return true;
    } catch (const Interrupted&) {
        throw;
    } catch (const std::bad_alloc&) {
        row.note = "out of memory";
    } catch (const std::exception& error) {
        row.note = first_line(error);
    }
    row.status = BenchStatus::failed;
    tell_(row.title() + ": failed: " + row.note);
    return false;
}

void BenchRun::run_round(const std::vector<Group*>& round) {
    for (Group* group : round) {
        MemoryMeter meter(group->placement.device, resident_at_start_);
        load(*group, meter);
        for (Row& row : group->rows)
            if (group->model) warm_up(*group, row, meter);
    }
    for (int64_t number = 1; number <= settings_.repeats; ++number) {
        bool any = false;
        for (Group* group : round) {
            if (!group->any_ready()) continue;
            any = true;
            group->gemm->run();
            for (Row& row : group->rows)
                if (row.ready) repeat(*group, row);
        }
        if (!any) break;
        tell_(concat("repeat ", number, " of ", settings_.repeats, " done after ", minutes(budget_.elapsed())));
    }
    for (Group* group : round)
        for (Row& row : group->rows) {
            if (row.ready && settings_.sustained_minutes > 0) sustain(*group, row);
            if (row.ready && settings_.operators) profile(*group, row);
        }
    for (Group* group : round) {
        group->model.reset();
        empty_cache(group->placement.device);
    }
}

void BenchRun::load(Group& group, MemoryMeter& meter) {
    BenchResult& first = *group.rows.front().result;
    const auto start = Clock::now();
    attempt(first, guess_load_seconds(static_cast<double>(group.experiment->parameters)), [&] {
        meter.restart();
        group.model = group.experiment->load(group.placement, first.random_weights);
        synchronize(group.placement.device);
        first.load_seconds = seconds_since(start);
        first.load_memory = meter.use();
    });
    for (Row& row : group.rows) {
        row.result->load_seconds = first.load_seconds;
        row.result->load_memory = first.load_memory;
        row.result->status = first.status;
        row.result->note = first.note;
    }
}

/// Smaller batches and pictures take more time per operation than larger ones, so the row before gives an upper bound.
double BenchRun::expected_warm_up(const Group& group, const Row& row) const {
    double expected = guess_step_seconds(row.result->flop_per_step, group.gemm->best_flop_per_second());
    for (const Row& earlier : group.rows)
        if (earlier.ready) expected = earlier.step_seconds * row.result->flop_per_step / earlier.result->flop_per_step;
    const double around =
        group.experiment->flop_to_encode(row.result->shape) + group.experiment->flop_to_decode(row.result->shape);
    return expected + 2 * guess_seconds(around, group.gemm->best_flop_per_second());
}

/// One untimed step, encoding and decoding (timed the second time), and the memory that all of it takes.
void BenchRun::warm_up(Group& group, Row& row, MemoryMeter& meter) {
    BenchModel& model = *group.model;
    BenchResult& result = *row.result;
    const auto seconds_of = [](const auto& work) {
        const auto start = Clock::now();
        work();
        return seconds_since(start);
    };
    row.ready = attempt(result, expected_warm_up(group, row), [&] {
        meter.restart();
        if (model.encode(result.shape)) result.encode_seconds = seconds_of([&] { model.encode(result.shape); });
        row.step_seconds = seconds_of([&] { model.denoise(result.shape, 1); });
        model.decode(result.shape);
        result.decode_seconds = seconds_of([&] { model.decode(result.shape); });
        result.memory = meter.use();
        tell_(result.title() + ": warmed up, " + minutes(budget_.elapsed()) + " so far");
    });
}

void BenchRun::repeat(Group& group, Row& row) {
    BenchResult& result = *row.result;
    const auto steps = static_cast<double>(result.steps);
    row.ready = attempt(result, result.encode_seconds.value_or(0) + steps * row.step_seconds, [&] {
        group.model->encode(result.shape);
        row.step_seconds = group.model->denoise(result.shape, result.steps) / steps;
        result.step_seconds.push_back(row.step_seconds);
        result.status = BenchStatus::measured;
        result.gemm_flop_per_second = group.gemm->best_flop_per_second();
    });
}

/// Steps without a pause; the first against the last minute (or half, of a run shorter than two).
void BenchRun::sustain(Group& group, Row& row) {
    BenchResult& result = *row.result;
    const double total = 60 * settings_.sustained_minutes;
    attempt(result, total / Budget::margin, [&] {
        tell_(result.title() + ": " + minutes(total) + " without a pause");
        group.model->encode(result.shape);
        std::vector<Stretch> stretches;
        const auto start = Clock::now();
        while (seconds_since(start) < total) {
            const double seconds = group.model->denoise(result.shape, result.steps);
            stretches.push_back({seconds_since(start), seconds, result.steps});
        }
        result.sustained = first_and_last_minute(stretches);
    });
}

void BenchRun::profile(Group& group, Row& row) {
    BenchResult& result = *row.result;
    const double expected = row.step_seconds + result.encode_seconds.value_or(0) + result.decode_seconds.value_or(0);
    attempt(result, expected, [&] {
        const c10::Device device = group.placement.device;
        group.model->encode(result.shape);
        result.step_operators = measure_operators(device, [&] { group.model->denoise(result.shape, 1); });
        result.decode_operators = measure_operators(device, [&] { group.model->decode(result.shape); });
    });
}

}  // namespace

BenchReport run_bench(const BenchSettings& settings, const Tell& tell) {
    BenchReport report{.machine = this_machine()};
    try {
        BenchRun(settings, tell, report.results).run();
    } catch (const Interrupted&) {
        report.interrupted = true;
    }
    return report;
}

}  // namespace diffapple

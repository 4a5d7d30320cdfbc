#include "diffapple/core/operator_times.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include "diffapple/core/libtorch.h"

namespace diffapple {
namespace {

using Clock = std::chrono::steady_clock;

/// The operators that run, the innermost last; the time since `mark_` belongs to that one.
class Stopwatch {
public:
    explicit Stopwatch(c10::Device device) : device_(device) { running_.push_back(&times_[""]); }

    void begin(const char* name) {
        charge();
        OperatorTime& time = times_[name];
        ++time.calls;
        running_.push_back(&time);
    }

    void end() {
        libtorch::synchronize(device_);
        charge();
        running_.pop_back();
    }

    std::vector<OperatorTime> times() {
        charge();
        std::vector<OperatorTime> sorted;
        for (auto& [name, time] : times_) sorted.push_back({name, time.calls, time.seconds});
        std::stable_sort(sorted.begin(), sorted.end(),
                         [](const OperatorTime& a, const OperatorTime& b) { return a.seconds > b.seconds; });
        return sorted;
    }

private:
    void charge() {
        const auto now = Clock::now();
        running_.back()->seconds += std::chrono::duration<double>(now - mark_).count();
        mark_ = now;
    }

    c10::Device device_;
    std::map<std::string, OperatorTime> times_;
    std::vector<OperatorTime*> running_;
    Clock::time_point mark_ = Clock::now();
};

// LibTorch calls plain functions, on the thread that asked for it.
thread_local Stopwatch* stopwatch = nullptr;

std::unique_ptr<at::ObserverContext> begin_operator(const at::RecordFunction& function) {
    stopwatch->begin(function.name());
    return nullptr;
}

void end_operator(const at::RecordFunction& /*function*/, at::ObserverContext* /*context*/) {
    stopwatch->end();
}

}  // namespace

std::vector<OperatorTime> measure_operators(c10::Device device, const std::function<void()>& work) {
    libtorch::synchronize(device);
    Stopwatch here(device);
    stopwatch = &here;
    const auto handle = at::addThreadLocalCallback(
        at::RecordFunctionCallback(begin_operator, end_operator).scopes({at::RecordScope::FUNCTION}));
    try {
        work();
    } catch (...) {
        at::removeCallback(handle);
        throw;
    }
    at::removeCallback(handle);
    return here.times();
}

}  // namespace diffapple

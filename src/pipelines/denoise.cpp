#include "diffapple/pipelines/denoise.h"

#include <ATen/ATen.h>

#include <chrono>
#include <deque>
#include <thread>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"

namespace diffapple {
namespace {

/// The turns that are queued on the device. Follows them without a wait that would leave the device without work.
class TurnsInFlight {
public:
    TurnsInFlight(c10::Device device, size_t total, const OnTurn& on_turn)
        : device_(device), total_(total), on_turn_(on_turn) {}

    /// A turn was queued.
    void add() {
        marks_.emplace_back(device_);
        report();
    }

    /// Returns once at most `count` turns are queued; obeys a stop request meanwhile. Does not rely on the device's
    /// marks alone: where none is passed for long, it waits for all that is queued.
    void wait_until_left(size_t count) {
        using Clock = std::chrono::steady_clock;
        constexpr std::chrono::microseconds interval{500};
        constexpr std::chrono::seconds patience{20};
        const auto start = Clock::now();
        for (report(); marks_.size() > count; report()) {
            check_stop();
            std::this_thread::sleep_for(interval);
            if (Clock::now() - start < patience) continue;
            synchronize(device_);
            for (; !marks_.empty(); marks_.pop_front()) on_turn_(++done_, total_);
        }
    }

    /// Tells of the turns that are done by now.
    void report() {
        for (; !marks_.empty() && marks_.front().passed(); marks_.pop_front()) on_turn_(++done_, total_);
    }

private:
    c10::Device device_;
    size_t total_, done_ = 0;
    const OnTurn& on_turn_;
    std::deque<QueueMark> marks_;
};

}  // namespace

Denoised denoise(at::Tensor sample, Scheduler& scheduler, const Predict& predict, NoiseSource& noise,
                 const OnTurn& on_turn, const AfterTurn& after_turn, const Preview& preview) {
    using Clock = std::chrono::steady_clock;
    constexpr size_t most_in_flight = 2;
    const at::InferenceMode inference;
    const size_t turns = scheduler.timesteps().size();
    noise.draw_ahead(scheduler.draws(), sample.sizes(), sample.device(), at::kFloat);
    end_stage(sample.device());
    synchronize(sample.device());
    on_turn(0, turns);
    const auto start = Clock::now();
    TurnsInFlight in_flight(sample.device(), turns, on_turn);
    for (size_t index = 0; index < turns; ++index) {
        check_stop();
        in_flight.wait_until_left(most_in_flight - 1);
        const auto output = predict(scheduler.scale_model_input(sample, index), index);
        if (preview.every > 0 && (index + 1) % preview.every == 0 && index + 1 < turns)
            preview.show(output, sample, index);
        sample = scheduler.step(output, index, sample, noise);
        if (after_turn) sample = after_turn(sample, index, scheduler);
        in_flight.add();
    }
    in_flight.wait_until_left(1);
    synchronize(sample.device());
    const std::chrono::duration<double> elapsed = Clock::now() - start;
    in_flight.report();
    require_finite(sample, "denoising");
    return {.sample = sample, .seconds = elapsed.count(), .turns = turns};
}

void require_finite(const at::Tensor& tensor, const std::string& stage) {
    if (!at::isfinite(tensor).all().item<bool>())
        fail(stage,
             " produced values that are not finite, so there is no picture; try --dtype fp32, and check that the "
             "weights and the scheduler config belong together");
}

}  // namespace diffapple

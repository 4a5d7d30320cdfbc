// DPM-Solver++ and its relatives as singlestep methods: a step of order k takes k turns, each of which starts again
// from the step's first sample.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "dpm_solver.h"

namespace diffapple {
namespace {

/// The order of each turn: 1, 2, ..., order, again and again; lower at the end where the number of turns asks for it
/// (lower_order_final, which an uneven number or a final sigma of 0 switches on).
std::vector<size_t> turn_orders(size_t turns, size_t order, bool lower_order_final, bool ends_at_zero) {
    std::vector<size_t> orders;
    for (size_t i = 0; i < turns; ++i) orders.push_back(i % order + 1);
    const bool lower = lower_order_final || turns % order != 0 || ends_at_zero;
    // whole cycles would end in a full step: the last one is made of smaller ones
    if (lower && order == 3 && turns % 3 == 0) orders[turns - 1] = 1;
    if (lower && order == 2 && turns % 2 == 0) orders[turns - 1] = 1;
    if (ends_at_zero) orders[turns - 1] = 1;
    return orders;
}

/// Equal to diffusers' DPMSolverSinglestepScheduler, flow matching aside; its thresholding with algorithm_type
/// dpmsolver does not run there.
class DPMSolverSinglestep final : public DPMSolver {
public:
    DPMSolverSinglestep(const JsonFields& config, const SchedulerRequest& request, SigmaSteps steps)
        : DPMSolver(config, request, std::move(steps), /*knows_sde=*/false),
          orders_(turn_orders(turns(), order(), config.boolean("lower_order_final", false), ends_at_zero())) {}

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& noise) override {
        const size_t s0 = position(index);
        outputs_.push_front(convert(model_output, s0, sample));
        if (outputs_.size() > order()) outputs_.pop_back();
        const auto z = draw(sample, noise);
        const size_t order = std::min(orders_.at(s0), outputs_.size());
        if (order == 1) start_ = sample;
        const Step step = step_between(s0 + 1 - order, s0 + 1);
        return advance(step, start_, derivatives(step.h, s0, order), z);
    }

private:
    /// By lambda, at the first of the `order` turns that end with this one (DPM-Solver, appendix B).
    Derivatives derivatives(float h, size_t s0, size_t order) const {
        if (order == 1) return {.d0 = outputs_[0]};
        const auto& first = outputs_[order - 1];
        const float r0 = (lambda(s0) - lambda(s0 + 1 - order)) / h;
        const auto to_newest = outputs_[0].sub(first).mul_(1 / r0);
        if (order == 2) return {.d0 = first, .d1 = to_newest, .midpoint = uses_midpoint()};
        if (uses_midpoint()) return {.d0 = first, .d1 = to_newest};
        const float r1 = (lambda(s0 - 1) - lambda(s0 - 2)) / h;
        const auto to_middle = outputs_[1].sub(first).mul_(1 / r1);
        return {.d0 = first,
                .d1 = to_middle.mul(r0).sub_(to_newest.mul(r1)).div_(r0 - r1),
                .d2 = to_newest.sub(to_middle).mul_(2 / (r0 - r1))};
    }

    std::vector<size_t> orders_;
    std::deque<at::Tensor> outputs_;  ///< converted, the newest first
    at::Tensor start_;                ///< sample at the start of the step
};

SigmaSteps singlestep_steps(const JsonFields& config, const SchedulerRequest& request) {
    const TrainingSigmas training(config, NoiseSchedule::from_json(config, ZeroTerminalSnr::ignored));
    const auto timesteps = solver_timesteps(TimestepSpacing::linspace, request.steps, training.count(),
                                            timesteps_above_lambda(config, training), /*steps_offset=*/0);
    return solver_steps(config, request, training, timesteps, {.timesteps = Respacing::Timesteps::whole});
}

}  // namespace

std::unique_ptr<Scheduler> make_dpm_solver_singlestep(const JsonFields& config, const SchedulerRequest& request) {
    return std::make_unique<DPMSolverSinglestep>(config, request, singlestep_steps(config, request));
}

}  // namespace diffapple

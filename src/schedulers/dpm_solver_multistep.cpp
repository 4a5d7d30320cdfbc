// DPM-Solver++ and its relatives as multistep methods: the derivatives come from the model's outputs at earlier steps.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "dpm_solver.h"

namespace diffapple {
namespace {

/// Equal to diffusers' DPMSolverMultistepScheduler, flow matching aside. Where its last two sigmas are the same it can
/// give NaN (final_sigmas_type sigma_min with Karras's sigmas); here such a step changes nothing.
class DPMSolverMultistep final : public DPMSolver {
public:
    DPMSolverMultistep(const JsonFields& config, const SchedulerRequest& request, SigmaSteps steps)
        : DPMSolver(config, request, std::move(steps), /*knows_sde=*/true),
          lower_order_final_(config.boolean("lower_order_final", true)),
          euler_at_final_(config.boolean("euler_at_final", false)) {}

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& noise) override {
        const size_t s0 = position(index);
        outputs_.push_front(convert(model_output, s0, sample));
        if (outputs_.size() > order()) outputs_.pop_back();
        const auto z = draw(sample, noise);
        const Step step = step_between(s0, s0 + 1);
        return advance(step, sample, derivatives(step.h, s0, order_at(s0)), z);
    }

private:
    /// Lower at the start, for want of outputs, and at the end of short runs, for stability.
    size_t order_at(size_t s0) const {
        const bool lower_at_end = lower_order_final_ && turns() < 15;
        if (s0 + 1 == turns() && (euler_at_final_ || lower_at_end || ends_at_zero())) return 1;
        const size_t order = outputs_.size();
        return s0 + 2 == turns() && lower_at_end ? std::min<size_t>(order, 2) : order;
    }

    /// Divided differences of the outputs by lambda (DPM-Solver++, algorithm 2; third order as in the authors' code).
    Derivatives derivatives(float h, size_t s0, size_t order) const {
        if (order == 1) return {.d0 = outputs_[0]};
        const float r0 = (lambda(s0) - lambda(s0 - 1)) / h;
        const auto newer = outputs_[0].sub(outputs_[1]).mul_(1 / r0);
        if (order == 2) return {.d0 = outputs_[0], .d1 = newer, .midpoint = uses_midpoint()};
        const float r1 = (lambda(s0 - 1) - lambda(s0 - 2)) / h;
        const auto older = outputs_[1].sub(outputs_[2]).mul_(1 / r1);
        const auto difference = newer.sub(older);
        return {
            .d0 = outputs_[0], .d1 = newer.add(difference.mul(r0 / (r0 + r1))), .d2 = difference.mul(1 / (r0 + r1))};
    }

    bool lower_order_final_, euler_at_final_;
    std::deque<at::Tensor> outputs_;  ///< converted, the newest first
};

SigmaSteps multistep_steps(const JsonFields& config, const SchedulerRequest& request) {
    const TrainingSigmas training(config, NoiseSchedule::from_json(config, ZeroTerminalSnr::finite));
    const auto timesteps = solver_timesteps(read_timestep_spacing(config, "linspace"), request.steps, training.count(),
                                            timesteps_above_lambda(config, training), read_steps_offset(config));
    const bool cosine = config.text("beta_schedule", "linear") == "squaredcos_cap_v2";
    return solver_steps(
        config, request, training, timesteps,
        {.knows_lu = true, .timesteps = cosine ? Respacing::Timesteps::cut : Respacing::Timesteps::whole});
}

}  // namespace

std::unique_ptr<Scheduler> make_dpm_solver_multistep(const JsonFields& config, const SchedulerRequest& request) {
    return std::make_unique<DPMSolverMultistep>(config, request, multistep_steps(config, request));
}

}  // namespace diffapple

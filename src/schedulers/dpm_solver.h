// DPM-Solver (Lu et al. 2022), DPM-Solver++ (Lu et al. 2022b) and their stochastic forms: what the multistep and the
// singlestep variants share.
#pragma once

#include "solver_scheduler.h"

namespace diffapple {

class DPMSolver : public SolverScheduler {
public:
    /// `knows_sde`: whether algorithm_type may be sde-dpmsolver.
    DPMSolver(const JsonFields& config, const SchedulerRequest& request, SigmaSteps steps, bool knows_sde);

    size_t draws() const override { return stochastic_ ? timesteps().size() : 0; }

protected:
    /// Factors of one step from s to t: x_t = sample x_s + d0 D_0 + (midpoint or d1) D_1 + d2 D_2 + noise z, where D_k
    /// is the k-th derivative of the converted model output by lambda, in units of h = lambda_t - lambda_s.
    /// Floats in diffusers' order of operations: (e^h - 1 - h) / h^2 cancels, and the rounding shows.
    struct Step {
        float h, sample, d0, midpoint, d1, d2, noise;
    };
    Step step_between(size_t s, size_t t) const;

    /// The model's output as the algorithm integrates it: x_0 (++), else eps.
    at::Tensor convert(const at::Tensor& model_output, size_t position, const at::Tensor& sample) const;

    /// Noise z of a stochastic form; undefined for the others.
    at::Tensor draw(const at::Tensor& sample, NoiseSource& noise) const;

    /// x_t from the parts of a step; an undefined derivative or noise is left out.
    struct Derivatives {
        at::Tensor d0, d1, d2;
        bool midpoint = false;  ///< D_1 is taken by the midpoint rule (solver_type)
    };
    at::Tensor advance(const Step& step, const at::Tensor& sample, const Derivatives& derivatives,
                       const at::Tensor& z) const;

    size_t order() const { return order_; }
    bool uses_midpoint() const { return midpoint_; }
    bool ends_at_zero() const { return sigma(turns()) == 0; }

private:
    bool predicts_data_, stochastic_;
    size_t order_;
    bool midpoint_, learned_variance_;
    PredictionType prediction_type_;
    SampleRange range_;
};

/// How many training timesteps are left by lambda_min_clipped (-infinity by default), counted from 0.
int64_t timesteps_above_lambda(const JsonFields& config, const TrainingSigmas& training);

}  // namespace diffapple

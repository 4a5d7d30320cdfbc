// Linear multistep method for the probability flow ODE (k-diffusion's sample_lms): the derivative is the polynomial
// through its last four values, integrated over the step.
#include <ATen/ATen.h>

#include <cmath>
#include <deque>

#include "sigma_scheduler.h"

namespace diffapple {
namespace {

constexpr size_t max_order = 4;

/// Equal to diffusers' LMSDiscreteScheduler.
class LMSScheduler final : public SigmaScheduler {
public:
    using SigmaScheduler::SigmaScheduler;

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& /*noise*/) override {
        const float here = sigma(position(index));
        derivatives_.push_front(sample.sub(original_sample(model_output, sample, here)).div_(here));
        if (derivatives_.size() > max_order) derivatives_.pop_back();
        // as in diffusers, the order follows the place in the whole schedule, even where the batch starts later and
        // has fewer derivatives
        const size_t order = std::min(position(index) + 1, max_order);
        at::Tensor distance = at::zeros_like(sample);
        for (size_t k = 0; k < std::min(order, derivatives_.size()); ++k)
            distance.add_(derivatives_[k].mul(coefficient(position(index), order, k)));
        return distance.add_(sample);
    }

private:
    /// Integral over the step of the Lagrange polynomial that is 1 at sigma_{i-k} and 0 at the other sigmas of the last
    /// `order`. Gauss's rule with two points is exact up to the third degree.
    double coefficient(size_t i, size_t order, size_t k) const {
        const double from = sigma(i), to = sigma(i + 1), middle = (from + to) / 2, half = (to - from) / 2;
        double sum = 0;
        for (const double node : {-1 / std::sqrt(3.0), 1 / std::sqrt(3.0)}) {
            double product = 1;
            for (size_t other = 0; other < order; ++other)
                if (other != k)
                    product *= (middle + half * node - sigma(i - other)) /
                               (static_cast<double>(sigma(i - k)) - sigma(i - other));
            sum += product;
        }
        return half * sum;
    }

    std::deque<at::Tensor> derivatives_;  ///< the newest first
};

}  // namespace

std::unique_ptr<Scheduler> make_lms(const JsonFields& config, const SchedulerRequest& request) {
    const TrainingSigmas training(config, NoiseSchedule::from_json(config, ZeroTerminalSnr::ignored));
    SigmaSteps steps = respaced(config, request, training, steps_by_timesteps(config, request, training),
                                {.karras_reads_limits = false});
    steps.sigmas.push_back(0);
    return std::make_unique<LMSScheduler>(config, request, read_prediction_type(config), std::move(steps));
}

}  // namespace diffapple

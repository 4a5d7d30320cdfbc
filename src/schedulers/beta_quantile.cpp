#include "beta_quantile.h"

#include <cmath>

namespace diffapple {
namespace {

/// The regularised incomplete beta function I_x(a, a) for x <= 1/2, by the series
/// x^a / (a B(a, a)) sum_n (1 - a)_n a / (n! (a + n)) x^n (Abramowitz & Stegun 26.5.4 with 6.6.8), whose terms at least
/// halve.
double incomplete_beta(double x, double a) {
    const double log_beta = 2 * std::lgamma(a) - std::lgamma(2 * a);
    double factor = 1, sum = 1;
    for (int n = 1; n < 60; ++n) {
        factor *= (n - a) / n * x;
        sum += factor * a / (a + n);
    }
    return std::exp(a * std::log(x) - log_beta) / a * sum;
}

}  // namespace

double symmetric_beta_quantile(double p, double a) {
    if (p > 0.5) return 1 - symmetric_beta_quantile(1 - p, a);
    if (p <= 0) return 0;
    double low = 0, high = 0.5;
    for (int halvings = 0; halvings < 100 && low < high; ++halvings) {
        const double middle = (low + high) / 2;
        (incomplete_beta(middle, a) < p ? low : high) = middle;
    }
    return (low + high) / 2;
}

}  // namespace diffapple

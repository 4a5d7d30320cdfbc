// Quantiles of a Beta distribution.
#pragma once

namespace diffapple {

/// x with I_x(a, a) = p, for p in [0, 1], a > 0: the quantile of the symmetric Beta distribution, to about 1e-13.
double symmetric_beta_quantile(double p, double a);

}  // namespace diffapple

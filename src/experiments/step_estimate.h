// How long one step of the loop may take, before one was made. Private to the experiments.
#pragma once

#include <string>

#include "diffapple/models/placement.h"

namespace diffapple {

/// Seconds that so many floating-point operations may take at `placement`: 0 for what is quick anywhere, else by timing
/// a matrix product there. Rough: models reach about this part of a product's speed, large pictures' attention less.
double estimate_step_seconds(double flop, const Placement& placement);

/// "2 minutes", "3 hours": as rough as the estimate.
std::string describe_minutes(double seconds);

}  // namespace diffapple

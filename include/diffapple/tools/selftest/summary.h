// What the owner of a machine pastes into an issue: the machine, the checks, and the speed of the study's models.
#pragma once

#include <string>
#include <vector>

#include "diffapple/tools/bench/bench.h"
#include "diffapple/tools/selftest/selftest.h"

namespace diffapple {

/// One timing of a step of each of the study's models in full size, with random weights, in the dtype that is usual
/// there: in at most 5 minutes, without what does not fit into them.
BenchSettings selftest_speed_settings(c10::Device device);

/// A block of text between two lines of dashes. `speed` without results: not measured.
std::string selftest_summary(c10::Device device, const std::vector<CheckResult>& checks, const BenchReport& speed);

}  // namespace diffapple

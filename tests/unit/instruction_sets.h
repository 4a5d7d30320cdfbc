// Tests of kernels that are compiled for several instruction sets.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cstdint>

namespace diffapple {

/// Runs a check on each of Highway's instruction sets that this processor has, the fastest last.
template <typename Check>
void on_every_instruction_set(Check check) {
#ifdef __APPLE__  // one set alone, and no library of Highway's
    check();
#else
    const int64_t all = hwy::SupportedTargets();
    for (int64_t target = int64_t{1} << 61; target != 0; target >>= 1) {
        if ((all & HWY_TARGETS & target) == 0) continue;
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
        check();
    }
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
#endif
}

}  // namespace diffapple

// One function per sampler, for the factory: makes it from a scheduler's config. Errors as of make_scheduler.
#pragma once

#include <memory>

#include "diffapple/io/json_fields.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {

using MakeScheduler = std::unique_ptr<Scheduler>(const JsonFields& config, const SchedulerRequest& request);

MakeScheduler make_ddpm, make_ddim, make_pndm, make_dpm_solver_multistep, make_dpm_solver_singlestep, make_euler,
    make_euler_ancestral, make_heun, make_lms, make_unipc, make_lcm;

}  // namespace diffapple

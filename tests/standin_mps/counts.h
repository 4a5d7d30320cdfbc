// How often the host waited for the stand-in mps device: a real one has nothing to do until the next work is queued.
#pragma once

#include <cstdint>

namespace diffapple::standin_mps {

/// One copy between host and device, or one call that waits for the device, after which nothing is queued.
void count_wait();

/// One operator or copy within the device. A real one queues it.
void note_queued();
/// Whether something was queued since the last wait.
bool has_queued();

/// Since the program began. Written to the file that $DIFFAPPLE_STANDIN_MPS_WAITS names when it ends.
int64_t waits();

}  // namespace diffapple::standin_mps

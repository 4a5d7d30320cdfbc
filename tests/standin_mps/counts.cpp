#include "counts.h"

#include <atomic>
#include <cstdlib>
#include <fstream>

namespace diffapple::standin_mps {
namespace {

class Counter {
public:
    Counter() = default;
    ~Counter() {
        if (const char* const file = std::getenv("DIFFAPPLE_STANDIN_MPS_WAITS")) std::ofstream(file) << count << '\n';
    }
    Counter(const Counter&) = delete;
    Counter& operator=(const Counter&) = delete;

    std::atomic<int64_t> count = 0;
    std::atomic<bool> queued = false;
};

Counter& counter() {
    static Counter instance;
    return instance;
}

}  // namespace

void count_wait() {
    ++counter().count;
    counter().queued = false;
}

void note_queued() {
    counter().queued = true;
}

bool has_queued() {
    return counter().queued;
}

int64_t waits() {
    return counter().count;
}

}  // namespace diffapple::standin_mps

// What the process says where it can do nothing else any more.
#pragma once

namespace diffapple {

/// From now on, an exception that cannot reach main and a memory fault end in a line on stderr. Where memory ran out,
/// the exit code is that of any failure; another memory fault ends the process by its signal, as without this. Files
/// that are being written stay under their temporary names, which the next run removes.
void install_last_words();

/// As long as this object lives, a memory fault is known to mean this: it ends in that line, and in the exit code of
/// any failure. `line` ends in a line end, and outlives the object.
class FaultMeans {
public:
    explicit FaultMeans(const char* line);
    ~FaultMeans();
    FaultMeans(const FaultMeans&) = delete;
    FaultMeans& operator=(const FaultMeans&) = delete;
};

}  // namespace diffapple

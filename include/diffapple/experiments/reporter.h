// How a running experiment tells its caller what it does.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace diffapple {

class Reporter {
public:
    virtual ~Reporter() = default;

    /// Something the user should know.
    virtual void note(const std::string& message) = 0;
    /// Something that only --verbose shows.
    virtual void detail(const std::string& message) = 0;
    /// A run begins that makes so many batches, with so many turns of the loop in all.
    virtual void begin_run(size_t batches, size_t turns) = 0;
    /// One of these batches, with so many turns, is left out after all: another process has made it.
    virtual void batch_left_out(size_t turns) = 0;
    /// The next of its batches begins.
    virtual void begin_batch(const std::string& label) = 0;
    /// The loop begins (0 done), or a turn of it is done.
    virtual void turn(size_t done, size_t total) = 0;
    /// The batch is done, or was given up.
    virtual void end_batch() = 0;
    /// A picture is saved, or was there already: the object of --json.
    virtual void picture(const nlohmann::json& report) = 0;
};

}  // namespace diffapple

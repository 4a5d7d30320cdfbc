// Prompts that are not on the command line: those of a person, each a run of its own with the models loaded once, and
// those of a file.
#pragma once

#include <string>

#include "diffapple/experiments/run.h"

namespace diffapple {

/// --interactive: prompts from stdin until its end or a line `q`; empty lines are skipped. On a terminal, lines are
/// edited and remembered, those that begin with a colon change settings, and control characters are refused. A line
/// that fails is reported, and the loop goes on. Throws Error at the end when one failed.
void run_interactive(Experiment& experiment, Reporter& reporter);

/// --prompts FILE, `-` for stdin: the file's text, to its end. Throws Error naming the option.
std::string read_prompts(const std::string& file);

}  // namespace diffapple

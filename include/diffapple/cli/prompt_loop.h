// Prompts that arrive one a line, from a file, a pipe or a person: each is a run of its own with the models loaded
// once.
#pragma once

#include <string>

#include "diffapple/experiments/run.h"

namespace diffapple {

/// --interactive: prompts from stdin until its end or a line `q`; empty lines are skipped. On a terminal, lines are
/// edited and remembered, those that begin with a colon change settings, and control characters are refused. A line
/// that fails is reported, and the loop goes on. Throws Error at the end when one failed.
void run_interactive(Experiment& experiment, Reporter& reporter);

/// --prompts FILE, `-` for stdin: the same for a file's lines; blank ones and those that begin with # are skipped.
void run_prompts_of_file(const std::string& file, Experiment& experiment, Reporter& reporter);

}  // namespace diffapple

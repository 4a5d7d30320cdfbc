// What the system must grant this process before any work begins.
#pragma once

namespace diffapple {

/// Raises the soft limit of open files as far as programs usually do (shells of macOS begin with 256), then throws
/// Error unless some more files can be opened now. The library in LibTorch that finds out about the processor crashes
/// where it cannot open the system's files: they are tried here, and read by it at once, while descriptors are there.
void prepare_open_files();

}  // namespace diffapple

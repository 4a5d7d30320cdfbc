// How this program's temporary files are called, so that those left over are known. Private to the io layer.
#pragma once

namespace diffapple {

constexpr const char* temporary_prefix = ".diffapple-";
constexpr const char* temporary_suffix = ".tmp";

}  // namespace diffapple

#include "diffapple/core/version.h"

namespace diffapple {

const char* const version = DIFFAPPLE_VERSION;  // CMakeLists.txt defines it for this file alone

}  // namespace diffapple

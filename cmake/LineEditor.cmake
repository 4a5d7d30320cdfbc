# Defines the imported target LineEditor: libedit, for the prompts of --interactive. macOS has it itself.

find_path(LIBEDIT_INCLUDE_DIR histedit.h REQUIRED)
find_library(LIBEDIT_LIBRARY edit REQUIRED)
add_library(LineEditor INTERFACE)
target_include_directories(LineEditor SYSTEM INTERFACE "${LIBEDIT_INCLUDE_DIR}")
target_link_libraries(LineEditor INTERFACE "${LIBEDIT_LIBRARY}")

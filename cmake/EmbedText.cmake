# Puts a text file into the program: embed_text(TARGET FILE NAME) adds a source to TARGET that defines
# `const std::string_view NAME` in namespace diffapple, which a header of TARGET declares. When a build runs, it calls
# this file as a script (OUTPUT, INPUT, NAME), whenever the file has changed.

function(embed_text target file name)
  set(input "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded_${name}.cpp")
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DINPUT=${input}" "-DNAME=${name}"
            -P "${CMAKE_CURRENT_FUNCTION_LIST_FILE}"
    DEPENDS "${input}" "${CMAKE_CURRENT_FUNCTION_LIST_FILE}"
    COMMENT "Embedding ${file}" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
  set_source_files_properties("${output}" PROPERTIES
    SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS -Wno-overlength-strings)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  file(READ "${INPUT}" text)
  file(WRITE "${OUTPUT}" "// Written by cmake/EmbedText.cmake.
#include <string_view>

namespace diffapple {

extern const std::string_view ${NAME};
const std::string_view ${NAME} = R\"text(${text})text\";

}  // namespace diffapple
")
endif()

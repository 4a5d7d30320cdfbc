# Puts text files into the program: embed_text(TARGET NAME FILE...) adds a source to TARGET that defines
# `const std::string_view NAME`, the files' text one after the other, in namespace diffapple, which a source of TARGET
# declares. When a build runs, it calls this file as a script (OUTPUT, INPUTS, NAME), whenever a file has changed.

function(embed_text target name)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded_${name}.cpp")
  string(REPLACE ";" "," inputs "${ARGN}")
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DINPUTS=${inputs}" "-DNAME=${name}"
            -P "${CMAKE_CURRENT_FUNCTION_LIST_FILE}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"  # a comma in that folder's own name does no harm
    DEPENDS ${ARGN} "${CMAKE_CURRENT_FUNCTION_LIST_FILE}"
    COMMENT "Embedding ${name}" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
  set_source_files_properties("${output}" PROPERTIES
    SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS -Wno-overlength-strings)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  file(WRITE "${OUTPUT}" "// Written by cmake/EmbedText.cmake.
#include <string_view>

namespace diffapple {

extern const std::string_view ${NAME};
const std::string_view ${NAME} =")
  string(REPLACE "," ";" inputs "${INPUTS}")
  foreach(input IN LISTS inputs)
    file(READ "${input}" text)
    file(APPEND "${OUTPUT}" " R\"text(${text})text\"")
  endforeach()
  file(APPEND "${OUTPUT}" ";

}  // namespace diffapple
")
endif()

# Puts the config files of models into the program: embed_configs(TARGET DATA_FOLDER MODEL...) adds a source to TARGET
# that holds those of DATA_FOLDER/MODEL/, as src/study/embedded_configs.h declares them. When a build runs, it calls this
# file as a script (OUTPUT, DATA_FOLDER, MODELS), whenever one of the files has changed.

# unet/config.json and scheduler/scheduler_config.json, or (a model of one component) config.json and
# scheduler_config.json, by component.
function(component_of file result)
  get_filename_component(component "${file}" DIRECTORY)
  if(component STREQUAL "" AND file STREQUAL "scheduler_config.json")
    set(component scheduler)
  elseif(component STREQUAL "")
    set(component unet)
  endif()
  set(${result} "${component}" PARENT_SCOPE)
endfunction()

function(config_files folder result)
  file(GLOB files RELATIVE "${folder}" "${folder}/*config.json" "${folder}/*/*config.json")
  if(NOT files)
    message(FATAL_ERROR "${folder}: holds no config files of a model")
  endif()
  set(${result} ${files} PARENT_SCOPE)
endfunction()

function(embed_configs target data_folder)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded_configs.cpp")
  set(inputs "")
  foreach(model IN LISTS ARGN)
    config_files("${data_folder}/${model}" files)
    list(TRANSFORM files PREPEND "${data_folder}/${model}/")
    list(APPEND inputs ${files})
  endforeach()
  string(REPLACE ";" "," models "${ARGN}")
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DDATA_FOLDER=${data_folder}" "-DMODELS=${models}"
            -P "${CMAKE_CURRENT_FUNCTION_LIST_FILE}"
    DEPENDS ${inputs} "${CMAKE_CURRENT_FUNCTION_LIST_FILE}"
    COMMENT "Embedding the configs of the study's models" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src/study")
  set_source_files_properties("${output}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  string(REPLACE "," ";" models "${MODELS}")
  set(rows "")
  foreach(model IN LISTS models)
    config_files("${DATA_FOLDER}/${model}" files)
    foreach(file IN LISTS files)
      component_of("${file}" component)
      file(READ "${DATA_FOLDER}/${model}/${file}" text)
      string(APPEND rows "    {\"${model}\", \"${component}\", R\"json(${text})json\"},\n")
    endforeach()
  endforeach()
  file(WRITE "${OUTPUT}" "// Written by cmake/EmbedConfigs.cmake.
#include \"embedded_configs.h\"

namespace diffapple {

const EmbeddedConfig embedded_configs[] = {
${rows}};
const size_t embedded_config_count = sizeof(embedded_configs) / sizeof(embedded_configs[0]);

}  // namespace diffapple
")
endif()

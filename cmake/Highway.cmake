# Defines the imported target Highway: portable vectors, and the choice of an instruction set at run time, for the
# kernels of our own in src/nn.

find_path(HIGHWAY_INCLUDE_DIR hwy/highway.h REQUIRED)
add_library(Highway INTERFACE)
target_include_directories(Highway SYSTEM INTERFACE "${HIGHWAY_INCLUDE_DIR}")
if(NOT APPLE)  # whose processors need no choice
  find_library(HIGHWAY_LIBRARY hwy REQUIRED)
  target_link_libraries(Highway INTERFACE "${HIGHWAY_LIBRARY}")
endif()

# The first source is for AVX512-BF16 alone, and the processor is asked before it is used; the others choose at run time.
# Each is compiled by itself: Highway includes it again for each instruction set.
function(compile_for_instruction_sets avx512_bf16)
  set_source_files_properties(${avx512_bf16} ${ARGN} PROPERTIES
    SKIP_UNITY_BUILD_INCLUSION ON SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS "-O3"
    INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR}/src/nn")
  set(flags -mavx512f -mavx512vl -mavx512bw -mavx512dq -mavx512cd -mavx512bf16 -mavx2 -mfma -mbmi -mbmi2 -mf16c
    -maes -mpclmul)
  # Some compilers know the flags and do not survive the instructions: clang 16 with the sanitizers.
  include(CheckCXXSourceCompiles)
  get_target_property(options diffapple_settings INTERFACE_COMPILE_OPTIONS)
  list(JOIN options " " CMAKE_REQUIRED_FLAGS)
  list(JOIN flags " " joined)
  string(APPEND CMAKE_REQUIRED_FLAGS " -std=c++20 -O3 ${joined}")
  set(CMAKE_REQUIRED_INCLUDES "${CMAKE_CURRENT_SOURCE_DIR}/src/nn" "${HIGHWAY_INCLUDE_DIR}")
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  check_cxx_source_compiles("#include \"${CMAKE_CURRENT_SOURCE_DIR}/${avx512_bf16}\"" compiles_avx512_bf16)
  if(compiles_avx512_bf16)
    set_source_files_properties(${avx512_bf16} PROPERTIES COMPILE_OPTIONS "-O3;${flags}")
  endif()
endfunction()

# Defines the imported target Highway: portable vectors, and the choice of an instruction set at run time, for the
# kernels of our own in src/nn.

find_path(HIGHWAY_INCLUDE_DIR hwy/highway.h REQUIRED)
add_library(Highway INTERFACE)
target_include_directories(Highway SYSTEM INTERFACE "${HIGHWAY_INCLUDE_DIR}")
if(NOT APPLE)  # whose processors need no choice
  find_library(HIGHWAY_LIBRARY hwy REQUIRED)
  target_link_libraries(Highway INTERFACE "${HIGHWAY_LIBRARY}")
endif()

# The first source chooses at run time; the second is for AVX512-BF16 alone and asks the processor before it is used.
# Each is compiled by itself: Highway includes it again for each instruction set.
function(compile_for_instruction_sets dispatched avx512_bf16)
  set_source_files_properties(${dispatched} ${avx512_bf16} PROPERTIES
    SKIP_UNITY_BUILD_INCLUSION ON SKIP_PRECOMPILE_HEADERS ON INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR}/src/nn" COMPILE_OPTIONS "-O3")
  include(CheckCXXCompilerFlag)
  set(flags -mavx512f -mavx512vl -mavx512bw -mavx512dq -mavx512cd -mavx512bf16 -mavx2 -mfma -mbmi -mbmi2 -mf16c
    -maes -mpclmul)
  check_cxx_compiler_flag("-mavx512bf16" has_avx512_bf16)
  if(has_avx512_bf16)
    set_source_files_properties(${avx512_bf16} PROPERTIES COMPILE_OPTIONS "-O3;${flags}")
  endif()
endfunction()

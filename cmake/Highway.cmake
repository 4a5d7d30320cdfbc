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
  include(CheckCXXSourceCompiles)
  list(JOIN flags " " CMAKE_REQUIRED_FLAGS)
  string(APPEND CMAKE_REQUIRED_FLAGS " -O2")
  check_cxx_source_compiles([[  // clang 16 knows the flags, and crashes
    #include <immintrin.h>
    __m512 f(__m512 s, __m512 a, __m512 b) { return _mm512_dpbf16_ps(s, (__m512bh)a, (__m512bh)b); }
    __m512i g(__m512 a, __m512 b) { return (__m512i)_mm512_cvtne2ps_pbh(a, b); }
    int main() {}
  ]] has_avx512_bf16)
  if(has_avx512_bf16)
    set_source_files_properties(${avx512_bf16} PROPERTIES COMPILE_OPTIONS "-O3;${flags}")
  endif()
endfunction()

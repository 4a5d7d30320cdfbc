# Defines the imported target LibTorch from LIBTORCH_ROOT, the folder that holds LibTorch's include/ and lib/
# (a libtorch archive, or site-packages/torch of any Python). LibTorch's own CMake package is not used: with a CUDA
# build it demands the CUDA toolkit's compiler, which a program that compiles no CUDA code does not need.

set(LIBTORCH_ROOT "" CACHE PATH "Folder with LibTorch's include/ and lib/ (scripts/setup.sh sets it)")

file(GLOB private_torch "${CMAKE_CURRENT_SOURCE_DIR}/.venv/torch/lib/python3*/site-packages/torch")
set(libtorch_roots "${LIBTORCH_ROOT}" "$ENV{LIBTORCH_ROOT}" ${private_torch})
find_path(LIBTORCH_INCLUDE_DIR ATen/ATen.h PATHS ${libtorch_roots} PATH_SUFFIXES include NO_DEFAULT_PATH NO_CACHE)
find_library(LIBTORCH_CPU_LIBRARY torch_cpu PATHS ${libtorch_roots} PATH_SUFFIXES lib NO_DEFAULT_PATH NO_CACHE)
if(NOT LIBTORCH_INCLUDE_DIR OR NOT LIBTORCH_CPU_LIBRARY)
  message(FATAL_ERROR "LibTorch was not found in LIBTORCH_ROOT='${LIBTORCH_ROOT}'. Run scripts/setup.sh, "
                      "or give -DLIBTORCH_ROOT=<folder with include/ and lib/>.")
endif()
if(APPLE)
  file(STRINGS "${LIBTORCH_INCLUDE_DIR}/torch/headeronly/version.h" libtorch_minor REGEX "define TORCH_VERSION_MINOR")
  string(REGEX MATCH "[0-9]+" libtorch_minor "${libtorch_minor}")
  if(libtorch_minor LESS 13)
    message(FATAL_ERROR "LibTorch 2.${libtorch_minor} is too old for macOS: 2.13 or later is needed (scripts/setup.sh "
                        "installs one; scripts/lib/libtorch.sh says why).")
  endif()
endif()
get_filename_component(LIBTORCH_LIBRARY_DIR "${LIBTORCH_CPU_LIBRARY}" DIRECTORY)

# A CUDA build registers its device from libtorch_cuda, which nothing refers to by symbol: link it whole.
set(libtorch_libraries "")
foreach(name IN ITEMS torch torch_cpu c10 torch_cuda c10_cuda)
  find_library(library_${name} ${name} PATHS "${LIBTORCH_LIBRARY_DIR}" NO_DEFAULT_PATH NO_CACHE)
  if(library_${name})
    list(APPEND libtorch_libraries "${library_${name}}")
  endif()
endforeach()

add_library(LibTorch INTERFACE)
target_include_directories(LibTorch SYSTEM INTERFACE
  "${LIBTORCH_INCLUDE_DIR}" "${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include")
if(APPLE)
  target_link_libraries(LibTorch INTERFACE ${libtorch_libraries})
else()
  # The C++ library first: LibTorch's libraries export parts of an older one (std::filesystem among them), and a call
  # that finds those crashes (remove_all with LibTorch 2.11).
  target_link_options(LibTorch INTERFACE "LINKER:--no-as-needed" -lstdc++)
  target_link_libraries(LibTorch INTERFACE ${libtorch_libraries})
endif()
message(STATUS "LibTorch: ${LIBTORCH_LIBRARY_DIR}")

# Builds SentencePiece as the static library `sentencepiece` from its PyPI source archive, which carries the absl and
# protobuf-lite that it uses: SENTENCEPIECE_ARCHIVE is sentencepiece-0.2.0.tar.gz or a folder that holds it.
#
# It must not share a single symbol with LibTorch, whose libraries hold a FLAGS_minloglevel of another type and another
# protobuf; the linker would bind one to the other without a word. So its namespaces and its flag are renamed while it
# is compiled, which also rules out what hiding alone cannot: that LibTorch's protobuf answers for this one at link
# time. tests/python/test_linking.py looks at the result.

set(SENTENCEPIECE_ARCHIVE "" CACHE PATH "sentencepiece-0.2.0.tar.gz, or the folder with it (scripts/setup.sh sets it)")
set(sentencepiece_name sentencepiece-0.2.0)
set(sentencepiece_sha256 a52c19171daaf2e697dc6cbe67684e0fa341b1248966f6aebb541de654d15843)

find_file(SENTENCEPIECE_TARBALL ${sentencepiece_name}.tar.gz NO_DEFAULT_PATH NO_CACHE
  PATHS "${SENTENCEPIECE_ARCHIVE}" "${CMAKE_CURRENT_SOURCE_DIR}/.venv/archives")
if(SENTENCEPIECE_ARCHIVE MATCHES "\\.tar\\.gz$")
  set(SENTENCEPIECE_TARBALL "${SENTENCEPIECE_ARCHIVE}")
endif()
if(NOT SENTENCEPIECE_TARBALL OR NOT EXISTS "${SENTENCEPIECE_TARBALL}")
  message(FATAL_ERROR "${sentencepiece_name}.tar.gz was not found in SENTENCEPIECE_ARCHIVE='${SENTENCEPIECE_ARCHIVE}'. "
                      "Run scripts/setup.sh, or download it from PyPI (pip download --no-deps --no-binary :all: "
                      "sentencepiece==0.2.0) and give -DSENTENCEPIECE_ARCHIVE=<folder>.")
endif()
file(SHA256 "${SENTENCEPIECE_TARBALL}" found_sha256)
if(NOT found_sha256 STREQUAL sentencepiece_sha256)
  message(FATAL_ERROR "${SENTENCEPIECE_TARBALL} has the SHA-256 ${found_sha256}, not ${sentencepiece_sha256}: "
                      "it is damaged or another file; delete it and run scripts/setup.sh again.")
endif()

set(sentencepiece_root "${CMAKE_CURRENT_BINARY_DIR}/sentencepiece/${sentencepiece_name}/sentencepiece")
if(NOT EXISTS "${sentencepiece_root}/src/config.h")
  file(ARCHIVE_EXTRACT INPUT "${SENTENCEPIECE_TARBALL}" DESTINATION "${CMAKE_CURRENT_BINARY_DIR}/sentencepiece")
  set(PROJECT_NAME sentencepiece)
  set(PROJECT_VERSION 0.2.0)
  configure_file("${sentencepiece_root}/config.h.in" "${sentencepiece_root}/src/config.h")  # last: all is unpacked
endif()

# What encoding needs: no trainer, no tools, no tests.
set(sentencepiece_sources third_party/absl/flags/flag.cc)
foreach(name IN ITEMS bpe_model char_model error filesystem model_factory model_interface normalizer
                      sentencepiece_processor unigram_model util word_model
                      builtin_pb/sentencepiece.pb builtin_pb/sentencepiece_model.pb)
  list(APPEND sentencepiece_sources src/${name}.cc)
endforeach()
file(GLOB protobuf_sources "${sentencepiece_root}/third_party/protobuf-lite/*.cc")
list(TRANSFORM sentencepiece_sources PREPEND "${sentencepiece_root}/")

find_package(Threads REQUIRED)
add_library(sentencepiece STATIC EXCLUDE_FROM_ALL ${sentencepiece_sources} ${protobuf_sources})
set_target_properties(sentencepiece PROPERTIES UNITY_BUILD OFF)
target_include_directories(sentencepiece SYSTEM PUBLIC
  "${sentencepiece_root}/src" "${sentencepiece_root}/src/builtin_pb" "${sentencepiece_root}"
  "${sentencepiece_root}/third_party" "${sentencepiece_root}/third_party/protobuf-lite")
target_compile_definitions(sentencepiece PUBLIC _USE_INTERNAL_STRING_VIEW HAVE_PTHREAD=1
  google=sentencepiece_google absl=sentencepiece_absl FLAGS_minloglevel=sentencepiece_minloglevel)
target_compile_options(sentencepiece PRIVATE -w)
target_link_libraries(sentencepiece PUBLIC Threads::Threads)
set_target_properties(sentencepiece PROPERTIES
  CXX_STANDARD 17 CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON EXPORT_COMPILE_COMMANDS OFF)

# `cmake --install build --prefix X` makes a folder that can be moved: bin/diffapple finds the LibTorch libraries that
# it needs, all of them in lib/, by a relative path, and the demo checkpoints in ../share/diffapple/models.

set(origin "$<IF:$<PLATFORM_ID:Darwin>,@loader_path,$ORIGIN>")
set_target_properties(diffapple PROPERTIES INSTALL_RPATH "${origin}/../lib")

# LibTorch's libraries and their companions (libgomp, with a hash in its name; CUDA's packages beside torch/), and
# nothing of the system. Where a link leads to them, they may be found under either name.
set(libtorch_libraries "")
foreach(kind IN ITEMS ABSOLUTE REALPATH)
  get_filename_component(surroundings "${LIBTORCH_LIBRARY_DIR}/../.." ${kind})
  string(REGEX REPLACE "([][+.*()^?|\\])" "\\\\\\1" surroundings "${surroundings}")
  list(APPEND libtorch_libraries "^${surroundings}/")
endforeach()
install(TARGETS diffapple
  RUNTIME_DEPENDENCIES
    PRE_EXCLUDE_REGEXES "^/usr/lib/" "^/System/" "^ld-linux" "^lib(c|m|dl|rt|pthread|stdc\\+\\+|gcc_s|cuda)\\.so"
    POST_INCLUDE_REGEXES ${libtorch_libraries}
    POST_EXCLUDE_REGEXES ".*"
  RUNTIME DESTINATION bin
  LIBRARY DESTINATION lib)

file(GLOB libtorch_licenses "${LIBTORCH_LIBRARY_DIR}/../../torch-*.dist-info/licenses")
if(libtorch_licenses)
  install(DIRECTORY "${libtorch_licenses}/" DESTINATION share/diffapple/licenses/libtorch)
endif()
install(FILES "${sentencepiece_root}/LICENSE" DESTINATION share/diffapple/licenses/sentencepiece)
install(FILES LICENSE THIRD_PARTY_NOTICES.md DESTINATION share/diffapple)
file(GLOB demos LIST_DIRECTORIES true models/*-demo)
install(DIRECTORY ${demos} DESTINATION share/diffapple/models)

# What the program says of itself to shells and man, made by the program that was built; alone with --component shells.
set(completions "${PROJECT_BINARY_DIR}/completion")
add_custom_command(TARGET diffapple POST_BUILD
  COMMAND "${CMAKE_COMMAND}" -E make_directory "${completions}"
  COMMAND diffapple completion bash > "${completions}/diffapple"
  COMMAND diffapple completion zsh > "${completions}/_diffapple"
  COMMAND diffapple completion fish > "${completions}/diffapple.fish"
  COMMAND diffapple completion man > "${completions}/diffapple.1" VERBATIM)
install(FILES "${completions}/diffapple" DESTINATION share/bash-completion/completions COMPONENT shells)
install(FILES "${completions}/_diffapple" DESTINATION share/zsh/site-functions COMPONENT shells)
install(FILES "${completions}/diffapple.fish" DESTINATION share/fish/vendor_completions.d COMPONENT shells)
install(FILES "${completions}/diffapple.1" DESTINATION share/man/man1 COMPONENT shells)

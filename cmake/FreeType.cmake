# Defines the imported target FreeType. On macOS it is the static library, so that an installed program takes it along;
# Homebrew's needs libpng (cmake/Pictures.cmake finds it), and zlib and bzip2 of the system.

if(APPLE)
  set(shared_suffixes ${CMAKE_FIND_LIBRARY_SUFFIXES})
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a ${shared_suffixes})
  find_package(Freetype REQUIRED)
  set(CMAKE_FIND_LIBRARY_SUFFIXES ${shared_suffixes})
  find_package(BZip2 REQUIRED)
  set(freetype_needs PNG::PNG BZip2::BZip2 ZLIB::ZLIB)
else()
  find_package(Freetype REQUIRED)
endif()

add_library(FreeType INTERFACE)
target_link_libraries(FreeType INTERFACE Freetype::Freetype ${freetype_needs})

# Defines the imported target PictureFormats: the libraries that decode picture files. On macOS they are the static
# ones, so that an installed program takes them along. libjpeg must be libjpeg-turbo (src/io/image_jpeg.cpp checks it).

set(shared_suffixes ${CMAKE_FIND_LIBRARY_SUFFIXES})
if(APPLE)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a ${shared_suffixes})
  list(APPEND CMAKE_PREFIX_PATH /opt/homebrew/opt/jpeg-turbo)
endif()
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_path(WEBP_INCLUDE_DIR webp/demux.h REQUIRED)
set(webp_libraries)
foreach(name IN ITEMS webpdemux webp)
  find_library(WEBP_${name} NAMES ${name} REQUIRED)
  list(APPEND webp_libraries ${WEBP_${name}})
endforeach()
find_library(WEBP_sharpyuv NAMES sharpyuv)  # a part of its own since libwebp 1.3; the static library needs it
if(APPLE AND WEBP_sharpyuv)
  list(APPEND webp_libraries ${WEBP_sharpyuv})
endif()
set(CMAKE_FIND_LIBRARY_SUFFIXES ${shared_suffixes})

add_library(PictureFormats INTERFACE)
target_include_directories(PictureFormats SYSTEM INTERFACE "${WEBP_INCLUDE_DIR}")
target_link_libraries(PictureFormats INTERFACE JPEG::JPEG PNG::PNG ${webp_libraries})

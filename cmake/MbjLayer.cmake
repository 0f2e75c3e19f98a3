# mbj_layer(<name> SOURCES ... HEADERS ... [LAYERS ...] [LINKS ...])
#
# Declares one floor of the house: an object library mbj_<name> whose public
# headers live in <name>/include and whose private ones live in <name>.
# LAYERS are the layers it may include from (linking is the permission).
# LINKS are third-party libraries, used by this layer's sources alone.

function(mbj_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;LAYERS;LINKS" ${ARGN})
  add_library(mbj_${name} OBJECT ${ARG_SOURCES})
  target_sources(mbj_${name} PUBLIC FILE_SET HEADERS
    BASE_DIRS include FILES ${ARG_HEADERS})
  target_include_directories(mbj_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(mbj_${name} PRIVATE mbj_compiler mbj_frames
    mbj_measured)
  foreach(layer IN LISTS ARG_LAYERS)
    target_link_libraries(mbj_${name} PUBLIC mbj_${layer})
  endforeach()
  target_link_libraries(mbj_${name} PRIVATE ${ARG_LINKS})
  set_property(GLOBAL APPEND PROPERTY MBJ_LAYERS mbj_${name})
  set_property(GLOBAL APPEND PROPERTY MBJ_LINKS ${ARG_LINKS})
endfunction()

# libmbj, static and shared, from the layers' objects; headers, pkg-config
# file, CMake package, manual page and completion.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(layers GLOBAL PROPERTY MBJ_LAYERS)
get_property(links GLOBAL PROPERTY MBJ_LINKS)
list(REMOVE_DUPLICATES links)

foreach(kind STATIC SHARED)
  string(TOLOWER ${kind} suffix)
  add_library(mbj_lib_${suffix} ${kind})
  foreach(layer IN LISTS layers)
    target_sources(mbj_lib_${suffix} PRIVATE $<TARGET_OBJECTS:${layer}>)
    target_include_directories(mbj_lib_${suffix} INTERFACE
      "$<BUILD_INTERFACE:$<TARGET_PROPERTY:${layer},INTERFACE_INCLUDE_DIRECTORIES>>")
  endforeach()
  target_include_directories(mbj_lib_${suffix} INTERFACE
    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  target_link_libraries(mbj_lib_${suffix} PRIVATE
    $<BUILD_INTERFACE:mbj_compiler> ${links} Threads::Threads)
  set_target_properties(mbj_lib_${suffix} PROPERTIES OUTPUT_NAME mbj
    EXPORT_NAME ${suffix} VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE C)
  add_library(mbj::${suffix} ALIAS mbj_lib_${suffix})
endforeach()

install(TARGETS mbj_lib_static mbj_lib_shared EXPORT mbj
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(layer IN LISTS layers)
  string(REPLACE "mbj_" "" folder ${layer})
  install(DIRECTORY ${folder}/include/mbj
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endforeach()
install(EXPORT mbj NAMESPACE mbj:: FILE mbjTargets.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mbj)
configure_package_config_file(cmake/mbjConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/mbjConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mbj)
write_basic_package_version_file(
  ${CMAKE_CURRENT_BINARY_DIR}/mbjConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
configure_file(cmake/mbj.pc.in ${CMAKE_CURRENT_BINARY_DIR}/mbj.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mbjConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/mbjConfigVersion.cmake
  cmake/FindBerkeleyDB.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mbj)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mbj.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS mbj_cli DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cli/mbj.1
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cli/mbj.bash RENAME mbj
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
# systemd reads /usr/local/lib, too.
configure_file(cli/systemd/mbj@.service.in
  ${CMAKE_CURRENT_BINARY_DIR}/mbj@.service @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mbj@.service
  DESTINATION lib/systemd/system)

# Section 3, from the public headers; a machine without Python does without.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  set(headers)
  foreach(layer IN LISTS layers)
    string(REPLACE "mbj_" "" folder ${layer})
    file(GLOB found CONFIGURE_DEPENDS
      "${PROJECT_SOURCE_DIR}/${folder}/include/mbj/*.h")
    list(APPEND headers ${found})
  endforeach()
  add_custom_command(OUTPUT man3/mbj.3
    COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/cmake/man3.py"
      ${PROJECT_VERSION} man3 ${headers}
    DEPENDS cmake/man3.py ${headers} VERBATIM)
  add_custom_target(mbj_man3 ALL DEPENDS man3/mbj.3)
  install(DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/man3
    DESTINATION ${CMAKE_INSTALL_MANDIR})
endif()

# Finds Berkeley DB's C library, which ships neither a .pc nor a CMake file.
#
#   find_package(BerkeleyDB 5.3 REQUIRED)
#
# Defines the target BerkeleyDB::BerkeleyDB and the variables
# BerkeleyDB_VERSION, BerkeleyDB_INCLUDE_DIR, BerkeleyDB_LIBRARY.

find_path(BerkeleyDB_INCLUDE_DIR NAMES db.h PATH_SUFFIXES db5.3 db5 db)
find_library(BerkeleyDB_LIBRARY NAMES db-5.3 db5.3 db)

if(BerkeleyDB_INCLUDE_DIR AND EXISTS "${BerkeleyDB_INCLUDE_DIR}/db.h")
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${BerkeleyDB_INCLUDE_DIR}/db.h" line
      REGEX "^#define[ \t]+DB_VERSION_${part}[ \t]+[0-9]+")
    string(REGEX REPLACE ".*DB_VERSION_${part}[ \t]+([0-9]+).*" "\\1"
      _bdb_${part} "${line}")
  endforeach()
  set(BerkeleyDB_VERSION "${_bdb_MAJOR}.${_bdb_MINOR}.${_bdb_PATCH}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BerkeleyDB
  REQUIRED_VARS BerkeleyDB_LIBRARY BerkeleyDB_INCLUDE_DIR
  VERSION_VAR BerkeleyDB_VERSION)

if(BerkeleyDB_FOUND AND NOT TARGET BerkeleyDB::BerkeleyDB)
  add_library(BerkeleyDB::BerkeleyDB UNKNOWN IMPORTED)
  set_target_properties(BerkeleyDB::BerkeleyDB PROPERTIES
    IMPORTED_LOCATION "${BerkeleyDB_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${BerkeleyDB_INCLUDE_DIR}")
endif()
mark_as_advanced(BerkeleyDB_INCLUDE_DIR BerkeleyDB_LIBRARY)

# ThreadSanitizer knows nothing of a library that was not built for it: what
# Berkeley DB does inside its own calls is not looked at, all of ours is.  Not by
# ignore_noninstrumented_modules: on Linux that is all modules, so that what
# memcpy(3) does, and any copy of a structure, is not looked at anywhere.  A
# race ends the process: children that are killed leave no other word of it.
set(MBJ_TSAN "TSAN_OPTIONS=suppressions=${CMAKE_CURRENT_LIST_DIR}/../tests/support/tsan.supp:halt_on_error=1")

# mbj_test(<name> SOURCES ... LAYERS ... [LINKS ...] [TIMEOUT <seconds>]
#          [BY_NOUN])
#
# One test binary test_<name> of libcheck cases, registered as CTest <name>;
# BY_NOUN: as one CTest <name>_<noun> for each source test_<noun>.c, so that a
# large layer's tests run side by side and a failure names its noun.  A noun
# whose case is not in main.c runs no test, and that is a failure.
# LAYERS are linked as objects, not as libmbj: a test may reach the hidden
# symbols and the private headers of the layers it names, and a lower layer's
# tests do not wait for the layers above it.  Name every layer that is needed,
# lowest first.  Third-party libraries come along with the layers.

function(mbj_test name)
  cmake_parse_arguments(ARG "BY_NOUN" "TIMEOUT" "SOURCES;LAYERS;LINKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(test_${name} ${ARG_SOURCES})
  target_include_directories(test_${name} PRIVATE
    "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(test_${name} PRIVATE mbj_compiler mbj_test_support
    ${ARG_LINKS} Threads::Threads)
  foreach(layer IN LISTS ARG_LAYERS)
    target_link_libraries(test_${name} PRIVATE mbj_${layer})
    target_include_directories(test_${name} PRIVATE
      "${PROJECT_SOURCE_DIR}/${layer}")
  endforeach()
  # support/alloc_fault.c stands in front of the library's allocations,
  # support/mark_point.c in front of what an assertion costs that holds,
  # support/run.c in front of how libcheck counts time.
  target_link_options(test_${name} PRIVATE LINKER:--wrap=mbj_alloc
    LINKER:--wrap=mbj_calloc LINKER:--wrap=mbj_realloc_array
    LINKER:--wrap=mbj_free LINKER:--wrap=_mark_point
    LINKER:--wrap=send_duration_info)
  set(nouns "")
  if(ARG_BY_NOUN)
    set(nouns ${ARG_SOURCES})
    list(FILTER nouns INCLUDE REGEX "^test_.*\\.c$")
    list(TRANSFORM nouns REPLACE "^test_(.*)\\.c$" "\\1")
  endif()
  # A sanitizer reports at the end of a process: of one, not of each case.
  set(environment "")
  if(MBJ_SANITIZE)
    list(APPEND environment CK_FORK=no)
  endif()
  if(MBJ_SANITIZE MATCHES thread)
    list(APPEND environment "${MBJ_TSAN}")
  endif()
  if(NOT ARG_BY_NOUN)
    add_test(NAME ${name} COMMAND test_${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT}
      ENVIRONMENT "${environment}")
  endif()
  foreach(noun IN LISTS nouns)
    add_test(NAME ${name}_${noun} COMMAND test_${name})
    set_tests_properties(${name}_${noun} PROPERTIES TIMEOUT ${ARG_TIMEOUT}
      ENVIRONMENT "${environment};CK_RUN_CASE=${noun}")
  endforeach()
endfunction()

# mbj_test_headers()
#
# Compiles every public header of the layers declared so far alone, twice in
# one file (its guard works), as strict C11 without any feature macro, seeing
# only what its layer may see.  Building test_headers is the test; running it
# merely counts.

function(mbj_test_headers)
  get_property(layers GLOBAL PROPERTY MBJ_LAYERS)
  set(dir "${CMAKE_CURRENT_BINARY_DIR}/headers")
  set(calls "")
  set(declarations "")
  add_executable(test_headers "${dir}/main.c")
  foreach(layer IN LISTS layers)
    get_target_property(headers ${layer} HEADER_SET)
    set(sources "")
    foreach(header IN LISTS headers)
      get_filename_component(noun "${header}" NAME_WE)
      set(function "header_${noun}")
      string(CONCAT text
        "#include <mbj/${noun}.h>\n#include <mbj/${noun}.h>\n"
        "int ${function}(void);\nint ${function}(void)\n{\n\treturn 1;\n}\n")
      file(CONFIGURE OUTPUT "${dir}/${noun}.c" CONTENT "${text}" @ONLY)
      list(APPEND sources "${dir}/${noun}.c")
      string(APPEND declarations "int ${function}(void);\n")
      string(APPEND calls "\tcount += ${function}();\n")
    endforeach()
    add_library(test_headers_${layer} OBJECT ${sources})
    target_compile_options(test_headers_${layer} PRIVATE ${MBJ_WARNINGS})
    target_include_directories(test_headers_${layer} PRIVATE
      $<TARGET_PROPERTY:${layer},INTERFACE_INCLUDE_DIRECTORIES>)
    target_sources(test_headers PRIVATE
      $<TARGET_OBJECTS:test_headers_${layer}>)
  endforeach()
  string(CONCAT text "#include <stdio.h>\n${declarations}"
    "int main(void)\n{\n\tint count = 0;\n${calls}"
    "\tprintf(\"%d headers compile alone\\n\", count);\n"
    "\treturn count == 0;\n}\n")
  file(CONFIGURE OUTPUT "${dir}/main.c" CONTENT "${text}" @ONLY)
  add_test(NAME headers COMMAND test_headers)
  set_tests_properties(headers PROPERTIES TIMEOUT 30)
endfunction()

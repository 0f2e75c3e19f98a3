# Warnings and sanitizers, once, for every target of the project.

set(MBJ_WARNINGS
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wformat=2 -Wcast-qual -Wswitch-enum -Wundef
  -Wnull-dereference -Wpointer-arith -Wwrite-strings)
if(MBJ_WERROR)
  list(APPEND MBJ_WARNINGS -Werror)
endif()

add_library(mbj_compiler INTERFACE)
target_compile_options(mbj_compiler INTERFACE ${MBJ_WARNINGS}
  -fno-strict-aliasing -fstack-protector-strong)
target_compile_definitions(mbj_compiler INTERFACE _POSIX_C_SOURCE=200809L
  _FILE_OFFSET_BITS=64)
if(MBJ_SANITIZE)
  target_compile_options(mbj_compiler INTERFACE
    -fsanitize=${MBJ_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(mbj_compiler INTERFACE -fsanitize=${MBJ_SANITIZE})
endif()
# Threads of servers have small stacks: no function of library or command takes
# more than a part of one.  What a sanitizer puts there is its own,
# and what is not optimised takes more.
add_library(mbj_frames INTERFACE)
if(NOT MBJ_SANITIZE AND NOT MBJ_FUZZ AND NOT MBJ_COVERAGE)
  target_compile_options(mbj_frames INTERFACE -Wframe-larger-than=8192)
endif()
# What is measured is the library and the command, as written: unoptimised,
# with counters that threads may share.  The tests stay as fast as they are.
add_library(mbj_measured INTERFACE)
if(MBJ_COVERAGE)
  target_compile_options(mbj_measured INTERFACE --coverage -O0
    -fprofile-update=atomic -Wno-maybe-uninitialized)
  target_link_options(mbj_compiler INTERFACE --coverage)
endif()
# AFL++'s compiler brings its own instrumentation; whoever gives CFLAGS of
# their own (OSS-Fuzz) has chosen theirs.
if(MBJ_FUZZ AND NOT MBJ_FUZZ_AFL AND NOT CMAKE_C_FLAGS MATCHES "-fsanitize")
  target_compile_options(mbj_compiler INTERFACE -fsanitize=fuzzer-no-link)
endif()

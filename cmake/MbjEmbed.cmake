# cmake -DOUT=FILE.h -P MbjEmbed.cmake -- FILE...
# Files as arrays of bytes: page.html becomes "static const unsigned char
# page_html[]", without a NUL at its end.

set(text "/* Made by cmake/MbjEmbed.cmake. */\n")
set(is_file FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  set(argument "${CMAKE_ARGV${i}}")
  if(is_file)
    get_filename_component(name "${argument}" NAME)
    string(MAKE_C_IDENTIFIER "${name}" name)
    file(READ "${argument}" bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(REGEX REPLACE "(................................................................................)"
      "\\1\n" bytes "${bytes}")
    string(APPEND text
      "static const unsigned char ${name}[] = {\n${bytes}};\n")
  elseif(argument STREQUAL "--")
    set(is_file TRUE)
  endif()
endforeach()
file(WRITE "${OUT}" "${text}")

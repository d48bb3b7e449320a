# The pages of the manual and the completions of the shells. The program that was just built prints them from its tables; where
# that does not run here, TARE_HOST names one of the same version that does.

set(TARE_HOST "" CACHE FILEPATH "a tare that runs on this machine, to print manual and completions when cross-compiling")
set(printed_by tare)
if(TARE_HOST)
  set(printer ${TARE_HOST})
  set(printed_by ${TARE_HOST})
elseif(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
  message(STATUS "no manual and no completions: -DTARE_HOST=FILE names a tare that runs here and prints them")
  return()
else()
  set(printer $<TARGET_FILE:tare>)
  if(CMAKE_CROSSCOMPILING)
    set(printer ${CMAKE_CROSSCOMPILING_EMULATOR} ${printer})
  endif()
endif()

set(verbs_def ${CMAKE_SOURCE_DIR}/cli/verbs.def)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${verbs_def})
file(STRINGS ${verbs_def} verbs REGEX "^VERB\\([a-z]+\\)")
list(TRANSFORM verbs REPLACE "^VERB\\(([a-z]+)\\).*" "\\1")
string(TIMESTAMP today "%Y-%m-%d" UTC) # SOURCE_DATE_EPOCH, where that is set
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/man ${CMAKE_BINARY_DIR}/completion)

# Adds a file that the program prints.
set(documents)
macro(tare_document file)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/${file} COMMAND ${printer} ${ARGN} > ${CMAKE_BINARY_DIR}/${file}
    DEPENDS ${printed_by} VERBATIM)
  list(APPEND documents ${CMAKE_BINARY_DIR}/${file})
endmacro()

tare_document(man/tare.1 help --man --date ${today})
foreach(verb IN LISTS verbs)
  tare_document(man/tare-${verb}.1 help --man --date ${today} ${verb})
endforeach()
set(pages ${documents})
tare_document(completion/tare completion bash)
tare_document(completion/_tare completion zsh)
tare_document(completion/tare.fish completion fish)
add_custom_target(documents ALL DEPENDS ${documents})

install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_BINARY_DIR}/completion/tare DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_BINARY_DIR}/completion/_tare DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${CMAKE_BINARY_DIR}/completion/tare.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

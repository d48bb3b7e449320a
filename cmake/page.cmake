# The page of tare serve and the reports of check and diff, put into one library: tare_page. It needs no libevent.
include(cmake/embed.cmake)
set(page ${PROJECT_SOURCE_DIR}/src/serve/page)
file(GLOB pages CONFIGURE_DEPENDS ${page}/*.html ${page}/*.css ${page}/*.js ${page}/*.svg)
list(FILTER pages EXCLUDE REGEX "_report\\.js$")

set(reports "")
function(tare_report name title)
  set(modules "")
  foreach(module IN LISTS ARGN)
    list(APPEND modules ${page}/${module}.js)
  endforeach()
  add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/page/${name}.html DEPENDS ${modules} ${page}/style.css cmake/bundle.cmake
    COMMAND ${CMAKE_COMMAND} -DOUT=${PROJECT_BINARY_DIR}/page/${name}.html "-DTITLE=${title}" -DSTYLE=${page}/style.css
      "-DMODULES=${modules}" -P ${PROJECT_SOURCE_DIR}/cmake/bundle.cmake VERBATIM)
  set(reports ${reports} ${PROJECT_BINARY_DIR}/page/${name}.html PARENT_SCOPE)
endfunction()
tare_report(check "tare check" dom theme treemap tensors histogram inspect check_report)
tare_report(diff "tare diff" dom theme diff_report)

add_library(tare_page STATIC src/serve/inspect.c src/serve/page.c)
target_include_directories(tare_page PUBLIC src PRIVATE include)
target_link_libraries(tare_page PRIVATE tare_flags tare_static)
tare_embed(tare_page serve_page_files ${pages})
tare_embed(tare_page serve_page_reports ${reports})

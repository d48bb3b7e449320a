# tare_embed(TARGET TABLE FILE...): puts files into a target, as the array `const struct embedded_file TABLE[]` of
# src/serve/page.h, whose last entry has no name. ELF and Mach-O differ in the section of constants, and in the underscore that
# Mach-O puts before every name of C (see cli/fable.S).
function(tare_embed target table)
  set(folder ${PROJECT_BINARY_DIR}/embed)
  set(assembly "/* Made by cmake/embed.cmake. */
#if defined(__APPLE__)
#define NAME(symbol) _##symbol
    .const
#else
#define NAME(symbol) symbol
    .section .rodata
#endif
")
  set(declared "")
  set(entries "")
  set(number 0)
  foreach(file IN LISTS ARGN)
    get_filename_component(name ${file} NAME)
    set(symbol ${table}_${number})
    foreach(end IN ITEMS "" _end)
      string(APPEND assembly "    .globl NAME(${symbol}${end})\n")
    endforeach()
    string(APPEND assembly "    .balign 16\nNAME(${symbol}):\n    .incbin \"${file}\"\nNAME(${symbol}_end):\n    .byte 0\n")
    string(APPEND declared "extern const unsigned char ${symbol}[], ${symbol}_end[];\n")
    string(APPEND entries "    {\"${name}\", ${symbol}, ${symbol}_end},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  string(APPEND assembly "#if defined(__ELF__)\n    .section .note.GNU-stack, \"\", %progbits\n#endif\n")
  file(CONFIGURE OUTPUT ${folder}/${table}.S CONTENT "${assembly}" @ONLY)
  file(CONFIGURE OUTPUT ${folder}/${table}.c CONTENT "/* Made by cmake/embed.cmake. */
#include \"serve/page.h\"

${declared}
extern const struct embedded_file ${table}[];
const struct embedded_file ${table}[] = {
${entries}    {0},
};
" @ONLY)
  target_sources(${target} PRIVATE ${folder}/${table}.S ${folder}/${table}.c)
  set_source_files_properties(${folder}/${table}.S TARGET_DIRECTORY ${target} PROPERTIES OBJECT_DEPENDS "${ARGN}")
endfunction()

# cmake -DOUT=FILE -DTITLE=TEXT -DSTYLE=FILE -DMODULES=FILE;FILE.. -P bundle.cmake: writes one page that holds its style and its
# modules, in the order in which they are given. Their imports are among them, so import lines are left out and the word
# export too; the names at the top of the modules must therefore differ. Its policy allows exactly this style and script.
function(base64_sha256 text result)
  string(SHA256 hex "${text}")
  string(APPEND hex "00") # 33 bytes are 44 characters, the last of which is replaced by the padding
  string(CONCAT digits "ABCDEFGHIJKLMNOPQRSTUVWXYZ" "abcdefghijklmnopqrstuvwxyz" "0123456789+/")
  set(made "")
  foreach(at RANGE 0 63 3)
    string(SUBSTRING ${hex} ${at} 3 part)
    math(EXPR high "0x${part} >> 6")
    math(EXPR low "0x${part} & 63")
    string(SUBSTRING ${digits} ${high} 1 high)
    string(SUBSTRING ${digits} ${low} 1 low)
    string(APPEND made "${high}${low}")
  endforeach()
  string(SUBSTRING ${made} 0 43 made)
  set(${result} "${made}=" PARENT_SCOPE)
endfunction()

# Brackets would join elements of CMake's lists, so no text is ever taken for one.
set(script "")
foreach(module IN LISTS MODULES)
  file(READ "${module}" text)
  string(REGEX REPLACE "(^|\n)import [^\n]*" "" text "${text}")
  string(REGEX REPLACE "(^|\n)export " "\\1" text "${text}")
  string(APPEND script "${text}")
endforeach()
file(READ "${STYLE}" style)
base64_sha256("${style}" style_hash)
base64_sha256("${script}" script_hash)
file(WRITE "${OUT}" "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-${script_hash}'; style-src 'sha256-${style_hash}'; base-uri 'none'; form-action 'none'\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>${TITLE}</title>
<style>${style}</style>
</head>
<body>
<header class=\"bar\"><strong class=\"brand\">tare</strong> <button type=\"button\" id=\"theme\" aria-label=\"Switch between dark and light\">◐</button></header>
<main id=\"main\"><h1 class=\"hidden\">${TITLE}</h1><div id=\"report\"></div></main>
<script type=\"application/json\" id=\"data\">TARE-DATA</script>
<script type=\"module\">${script}</script>
</body>
</html>
")

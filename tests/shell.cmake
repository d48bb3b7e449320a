# Tests of the shell: the command, the installed library, the tree. The unit tests are in tests/CMakeLists.txt.

# A Python with numpy, where there is one (a checkout under pyenv may hide Debian's).
if(NOT TARE_PYTHON)
  foreach(candidate IN ITEMS python3 /usr/bin/python3)
    execute_process(COMMAND ${candidate} -c "import numpy, sys; print(sys.executable)" OUTPUT_VARIABLE found
      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
    if(status EQUAL 0)
      set(TARE_PYTHON ${found} CACHE FILEPATH "Python 3 with numpy, for tests")
      break()
    endif()
  endforeach()
endif()
if(NOT TARE_PYTHON)
  message(FATAL_ERROR "the tests need Python 3 with numpy (tools/install.sh test), or -DTARE_TESTS=OFF")
endif()
find_program(TARE_CXX NAMES g++ clang++ c++)

set(strict -Wall -Wextra -pedantic -Werror -fsyntax-only)
set(header ${CMAKE_SOURCE_DIR}/tests/abi/initialisers.c -I ${CMAKE_SOURCE_DIR}/include)
add_test(NAME header-c COMMAND ${CMAKE_C_COMPILER} -std=c11 ${strict} -x c ${header})
if(TARE_CXX)
  foreach(standard 17 20)
    add_test(NAME header-c++${standard} COMMAND ${TARE_CXX} -std=c++${standard} ${strict} -x c++ ${header})
  endforeach()
endif()
add_test(NAME layers COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/layers.py ${CMAKE_SOURCE_DIR})
add_test(NAME layers-self COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/layers.py --self-test)
add_test(NAME errors-doc COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/errors_doc.py --check)
add_test(NAME abi COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/abi/check_abi.py ${CMAKE_SOURCE_DIR}
  $<TARGET_FILE:tare_shared> $<TARGET_FILE:tare_static> ${PROJECT_VERSION})
add_test(NAME install COMMAND ${CMAKE_SOURCE_DIR}/tests/abi/check_install.sh ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}
  ${CMAKE_C_COMPILER})
if(NOT TARE_SANITIZE) # the interpreter has no sanitizer's runtime
  add_test(NAME abi-arguments COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/abi/check_arguments.py ${CMAKE_SOURCE_DIR}
    $<TARGET_FILE:tare_shared> ${CMAKE_C_COMPILER})
endif()
add_test(NAME abi-table COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/abi/abi_table.py ${CMAKE_SOURCE_DIR} ${CMAKE_C_COMPILER})
set_tests_properties(abi install PROPERTIES LABELS install)
# Skipped where there is no zig.
add_test(NAME macos-files COMMAND ${CMAKE_SOURCE_DIR}/tests/build/macos_files.sh ${CMAKE_SOURCE_DIR})
set_tests_properties(macos-files PROPERTIES LABELS install SKIP_RETURN_CODE 77 TIMEOUT 300)

foreach(class IN ITEMS Usage Check Explain Convert Logits Run Bad)
  string(TOLOWER ${class} name)
  add_test(NAME cli-${name} COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_cli.py $<TARGET_FILE:tare> ${class})
  set_tests_properties(cli-${name} PROPERTIES LABELS cli)
endforeach()

foreach(class IN ITEMS Diff Verify Gguf)
  string(TOLOWER ${class} name)
  add_test(NAME cli-diff-${name} COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_diff.py $<TARGET_FILE:tare> ${class})
  set_tests_properties(cli-diff-${name} PROPERTIES LABELS cli)
endforeach()
add_test(NAME cli-tokenize COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_tokenize.py $<TARGET_FILE:tare>)
add_test(NAME cli-chat COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_chat.py $<TARGET_FILE:tare>)
add_test(NAME cli-template COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_template.py $<TARGET_FILE:tare>)
set_tests_properties(cli-tokenize cli-chat cli-template PROPERTIES LABELS cli)

foreach(class IN ITEMS Perplexity Bench)
  string(TOLOWER ${class} name)
  add_test(NAME cli-${name} COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_measure.py $<TARGET_FILE:tare> ${class})
  set_tests_properties(cli-${name} PROPERTIES LABELS cli)
endforeach()

# What README.md shows is what the program does: its terminals, its list of verbs, its program, its picture.
add_test(NAME readme COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_readme.py $<TARGET_FILE:tare> ${CMAKE_C_COMPILER})
add_test(NAME readme-picture COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/terminal_picture.py $<TARGET_FILE:tare> --check)
set_tests_properties(readme readme-picture PROPERTIES LABELS cli TIMEOUT 300)

# Texts that continue from bad input.
add_test(NAME cli-bad-run COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_bad_input_run.py $<TARGET_FILE:tare>)
set_tests_properties(cli-bad-run PROPERTIES LABELS cli)

# The story of the built-in model, against transformers' record.
add_test(NAME cli-greedy COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_greedy.py $<TARGET_FILE:tare> ${CMAKE_SOURCE_DIR})
set_tests_properties(cli-greedy PROPERTIES LABELS cli)

# GGUF files as models.
add_test(NAME cli-gguf COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_gguf.py $<TARGET_FILE:tare>)
set_tests_properties(cli-gguf PROPERTIES LABELS cli)

# The hub, on the loopback. What waits for seconds, and what needs huggingface_hub, is `make test-hub`.
foreach(part IN ITEMS 0 1 2 3)
  add_test(NAME hub-${part} COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/hub/check_hub.py $<TARGET_FILE:tare> --quick --part ${part}/4)
  set_tests_properties(hub-${part} PROPERTIES LABELS cli TIMEOUT 300)
endforeach()

# Conversions that read from the hub in one pass.
foreach(case IN ITEMS equal wrong killed missing commit cache)
  add_test(NAME hub-stream-${case} COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/hub/stream.py $<TARGET_FILE:tare> ${CMAKE_SOURCE_DIR}/tests/data/load
    ${CMAKE_SOURCE_DIR}/bench --only ${case})
  set_tests_properties(hub-stream-${case} PROPERTIES LABELS cli TIMEOUT 300)
endforeach()
# What sanitizers add is not the program's.
if(NOT TARE_SANITIZE)
  add_test(NAME hub-stream-memory COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/hub/stream.py $<TARGET_FILE:tare> ${CMAKE_SOURCE_DIR}/tests/data/load
    ${CMAKE_SOURCE_DIR}/bench --only memory)
  set_tests_properties(hub-stream-memory PROPERTIES LABELS "cli;memory" TIMEOUT 300)
endif()

# Help, manual and completions, which the tables of verbs make; a shell that is not here is skipped.
if(TARGET documents)
  foreach(class IN ITEMS Tables Pages Examples Bash Zsh Fish)
    string(TOLOWER ${class} name)
    add_test(NAME documents-${name} COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/cli/test_documents.py $<TARGET_FILE:tare> ${CMAKE_BINARY_DIR}
      ${class})
    set_tests_properties(documents-${name} PROPERTIES LABELS cli SKIP_RETURN_CODE 77 TIMEOUT 300)
  endforeach()
endif()

# The examples that load a checkpoint, against the producers' own numbers. C++ is no language of the project, so its example is
# compiled by hand.
add_executable(example_loader ${CMAKE_SOURCE_DIR}/examples/loader.c)
target_include_directories(example_loader PRIVATE ${CMAKE_SOURCE_DIR}/include)
target_link_libraries(example_loader PRIVATE tare_static tare_flags)
set(loaders ${CMAKE_SOURCE_DIR}/tests/oracle/loaders.py --data ${CMAKE_SOURCE_DIR}/tests/data/loader)
add_test(NAME example-loader COMMAND ${TARE_PYTHON} ${loaders} $<TARGET_FILE:example_loader>)
set_tests_properties(example-loader PROPERTIES LABELS cli)
if(TARE_CXX AND NOT TARE_SANITIZE)
  foreach(standard 17 20)
    set(program ${CMAKE_BINARY_DIR}/example_loader_cpp${standard})
    add_test(NAME example-loader-c++${standard}-made COMMAND ${TARE_CXX} -std=c++${standard} -O2 -Wall -Wextra -pedantic -Werror
      -Wold-style-cast -I ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/examples/loader.cpp -o ${program}
      $<TARGET_FILE:tare_shared> -lcrypto -Wl,-rpath,${CMAKE_BINARY_DIR})
    add_test(NAME example-loader-c++${standard} COMMAND ${TARE_PYTHON} ${loaders} $<TARGET_FILE:example_loader> ${program})
    set_tests_properties(example-loader-c++${standard}-made PROPERTIES FIXTURES_SETUP loader${standard})
    set_tests_properties(example-loader-c++${standard} PROPERTIES FIXTURES_REQUIRED loader${standard} LABELS cli)
  endforeach()
endif()
add_test(NAME page-files COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/page/test_files.py $<TARGET_FILE:tare>)
set_tests_properties(page-files PROPERTIES LABELS cli)
if(TARE_SERVE)
  foreach(one IN ITEMS serve/Answers serve/Http serve/Together serve/Process models/Folder models/Start models/Prefixes
      contract/Fields contract/Streams
      wire/Framing wire/Requests wire/Clients wire/Slow systemd/Systemd)
    get_filename_component(file ${one} DIRECTORY)
    get_filename_component(class ${one} NAME)
    string(TOLOWER ${class} name)
    add_test(NAME serve-${name} COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/serve/test_${file}.py $<TARGET_FILE:tare> ${class})
    set_tests_properties(serve-${name} PROPERTIES LABELS cli)
  endforeach()
  add_test(NAME serve-families COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/serve/test_families.py $<TARGET_FILE:tare>)
  set_tests_properties(serve-families PROPERTIES LABELS cli TIMEOUT 300)
endif()

# Tests of conversions, by the command. tests/shell.cmake found a Python.
add_test(NAME save-golden COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/save/golden.py $<TARGET_FILE:tare>
  ${CMAKE_SOURCE_DIR}/tests/data/load)
set_tests_properties(save-golden PROPERTIES LABELS cli)
add_test(NAME save-pairs COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/save/pairs.py $<TARGET_FILE:tare>)
add_test(NAME formats-doc COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/formats_doc.py $<TARGET_FILE:tare> --check)
add_test(NAME save-gguf COMMAND ${TARE_PYTHON} -W ignore ${CMAKE_SOURCE_DIR}/tests/save/gguf.py $<TARGET_FILE:tare>
  ${CMAKE_SOURCE_DIR}/tests/data)
set_tests_properties(save-pairs save-gguf formats-doc PROPERTIES LABELS cli)
# Only where a Python with mlx-lm is: ctest -L oracle.
add_test(NAME oracle-mlx-load COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/oracle/mlx_load.py $<TARGET_FILE:tare>
  ${CMAKE_SOURCE_DIR}/tests/data/load ${CMAKE_SOURCE_DIR}/models/fable)
set_tests_properties(oracle-mlx-load PROPERTIES LABELS oracle SKIP_RETURN_CODE 77 TIMEOUT 600)
# Conversions that are killed: kill_at is preloaded into the command.
add_library(kill_at SHARED ${CMAKE_SOURCE_DIR}/tests/save/kill_at.c)
target_compile_definitions(kill_at PRIVATE _FILE_OFFSET_BITS=64)
set_target_properties(kill_at PROPERTIES C_VISIBILITY_PRESET default)
add_test(NAME save-resume COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/save/resume.py $<TARGET_FILE:tare> $<TARGET_FILE:kill_at>
  ${CMAKE_SOURCE_DIR}/tests/data/load)
set_tests_properties(save-resume PROPERTIES LABELS cli TIMEOUT 300)
add_test(NAME save-quantize COMMAND ${TARE_PYTHON} -W ignore ${CMAKE_SOURCE_DIR}/tests/save/quantize.py $<TARGET_FILE:tare> $<TARGET_FILE:kill_at>)
set_tests_properties(save-quantize PROPERTIES LABELS cli TIMEOUT 300)
add_test(NAME save-calibrate COMMAND ${TARE_PYTHON} -W ignore ${CMAKE_SOURCE_DIR}/tests/save/calibrate.py $<TARGET_FILE:tare> $<TARGET_FILE:kill_at>)
set_tests_properties(save-calibrate PROPERTIES LABELS cli TIMEOUT 900)
add_test(NAME oracle-calibrate COMMAND ${TARE_PYTHON} -W ignore ${CMAKE_SOURCE_DIR}/tests/oracle/calibrate.py $<TARGET_FILE:tare>
  ${CMAKE_SOURCE_DIR}/tests/data/quantize/calibrate.txt)
set_tests_properties(oracle-calibrate PROPERTIES LABELS oracle SKIP_RETURN_CODE 77 TIMEOUT 900)
add_test(NAME oracle-quantize COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/oracle/quantize.py $<TARGET_FILE:tare>
  --models ${CMAKE_SOURCE_DIR}/tests/data/load)
set_tests_properties(oracle-quantize PROPERTIES LABELS oracle SKIP_RETURN_CODE 77 TIMEOUT 900)
# What sanitizers add is not the program's.
if(NOT TARE_SANITIZE)
  add_test(NAME save-memory COMMAND ${TARE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/save/memory.py $<TARGET_FILE:tare> ${CMAKE_SOURCE_DIR}/bench)
  set_tests_properties(save-memory PROPERTIES LABELS "cli;memory" RUN_SERIAL TRUE TIMEOUT 300)
endif()

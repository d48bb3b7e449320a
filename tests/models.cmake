# Every line of models.def has its file and its cases, and the cases plan.
find_package(Python3 COMPONENTS Interpreter REQUIRED)
add_test(NAME models COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/models/check_models.py $<TARGET_FILE:tare>
  ${CMAKE_SOURCE_DIR})
set_tests_properties(models PROPERTIES LABELS models)
add_test(NAME architectures-doc COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/architectures_doc.py $<TARGET_FILE:tare> --check)
set_tests_properties(architectures-doc PROPERTIES LABELS models)

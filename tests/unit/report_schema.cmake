# The documents the program writes, held against their published schema by an independent validator.
add_executable(report_documents report_documents.cpp report_sample.cpp)
set_target_properties(report_documents PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
target_link_libraries(report_documents PRIVATE ep::flags ep::report)
find_program(EP_PYTHON python3)
if(EP_PYTHON)
  add_test(NAME report_schema
    COMMAND ${EP_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/report_schema_test.py
            ${PROJECT_SOURCE_DIR}/docs/output.schema.json $<TARGET_FILE:report_documents>)
  set_tests_properties(report_schema PROPERTIES LABELS unit TIMEOUT 60 SKIP_RETURN_CODE 77)
endif()

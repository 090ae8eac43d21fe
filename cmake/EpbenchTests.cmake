# ep_add_unit_test(NAME SOURCES … DEPS … [LABELS …]): a GoogleTest program whose tests ctest knows one by one.
function(ep_add_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;LABELS")
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ep::flags ${arg_DEPS} GTest::gmock GTest::gtest_main)
  # A list does not survive gtest_discover_tests. One label does, and `ctest -L` takes patterns: both words find it.
  list(PREPEND arg_LABELS unit)
  list(JOIN arg_LABELS "." labels)
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${labels}" TIMEOUT 120)
endfunction()

# More ranks than cores is the normal case for tests, and containers run as root.
set(EP_MPIRUN ${MPIEXEC_EXECUTABLE} --oversubscribe --allow-run-as-root --bind-to none
  --mca mpi_yield_when_idle 1 --mca btl_base_warn_component_unused 0)

# ep_add_mpi_test(NAME SOURCES … DEPS … RANKS 1 2 3 … [LABELS …]): a GoogleTest program that every rank runs whole,
# once for each rank count. tests/mpi_main.cpp holds its main.
function(ep_add_mpi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;RANKS;LABELS")
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/mpi_main.cpp)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ep::flags ${arg_DEPS} ep::mpi GTest::gmock GTest::gtest)
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}.np${ranks} COMMAND ${EP_MPIRUN} -n ${ranks} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}.np${ranks} PROPERTIES LABELS "mpi;${arg_LABELS}" TIMEOUT 120 PROCESSORS 2)
  endforeach()
endfunction()

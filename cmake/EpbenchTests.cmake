# ep_add_unit_test(NAME SOURCES … DEPS …): a GoogleTest program whose tests ctest knows one by one; built with a
# sanitizer, which takes long to start, it is one test.
function(ep_add_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ep::flags ${arg_DEPS} GTest::gmock GTest::gtest_main)
  if(EP_SANITIZE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "unit;sanitize" TIMEOUT 600)
    return()
  endif()
  gtest_discover_tests(${name} TEST_PREFIX ${name}. NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS unit TIMEOUT 120)
endfunction()

# More ranks than cores is the normal case for tests, and containers run as root.
set(EP_MPIRUN ${MPIEXEC_EXECUTABLE} --oversubscribe --allow-run-as-root --bind-to none
  --mca mpi_yield_when_idle 1 --mca btl_base_warn_component_unused 0)

# ep_add_mpi_run(NAME RANKS n COMMAND target args … [EXIT_CODE n] [LABELS …]): one mpirun as a test. Never two at once:
# on a few cores each would measure and time out on the other. Small runs also go under the sanitizers.
function(ep_add_mpi_run name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "RANKS;EXIT_CODE" "COMMAND;LABELS")
  list(POP_FRONT arg_COMMAND target)
  set(command ${EP_MPIRUN} -n ${arg_RANKS} $<TARGET_FILE:${target}> ${arg_COMMAND})
  if(arg_EXIT_CODE)
    set(command sh -c "\"$@\"\ntest $? -eq ${arg_EXIT_CODE}" sh ${command})
  endif()
  set(labels mpi ${arg_LABELS})
  if(arg_RANKS LESS_EQUAL 3)
    list(APPEND labels sanitize)
  endif()
  add_test(NAME ${name} COMMAND ${command} WORKING_DIRECTORY ${PROJECT_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT 300 PROCESSORS 2 RESOURCE_LOCK mpi)
endfunction()

# ep_add_mpi_program(NAME SOURCES … DEPS …): a GoogleTest program that every rank runs whole. tests/mpi_main.cpp holds its
# main, which limits each test's time.
function(ep_add_mpi_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/mpi_main.cpp)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ep::flags ${arg_DEPS} ep::mpi GTest::gmock GTest::gtest)
endfunction()

# ep_add_mpi_test(NAME SOURCES … DEPS … RANKS 1 2 3 … [LABELS …]): such a program, run once for each rank count.
function(ep_add_mpi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;RANKS;LABELS")
  ep_add_mpi_program(${name} SOURCES ${arg_SOURCES} DEPS ${arg_DEPS})
  foreach(ranks IN LISTS arg_RANKS)
    ep_add_mpi_run(${name}.np${ranks} RANKS ${ranks} COMMAND ${name} LABELS ${arg_LABELS})
  endforeach()
endfunction()

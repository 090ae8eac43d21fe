# What every target of the project shares: one INTERFACE target for flags, one function for a module.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library(ep_flags INTERFACE)
add_library(ep::flags ALIAS ep_flags)
target_compile_options(ep_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  # A fused multiply-add here and none there would give two machines different bits (routing, references).
  -ffp-contract=off
  # GCC 12 takes "literal" + std::string for an overlapping copy (its bug 105651, mended in 13).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  $<$<BOOL:${EP_WERROR}>:-Werror>)
# The C++ bindings of MPI are gone from the standard; their headers are noise.
target_compile_definitions(ep_flags INTERFACE OMPI_SKIP_MPICXX)
if(EP_SANITIZE)
  list(JOIN EP_SANITIZE "," sanitizers)
  target_compile_options(ep_flags INTERFACE -fsanitize=${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(ep_flags INTERFACE -fsanitize=${sanitizers})
endif()
if("address" IN_LIST EP_SANITIZE)
  add_library(ep_keep_plugins OBJECT ${PROJECT_SOURCE_DIR}/tests/sanitizers/keep_plugins.cpp)
  target_link_libraries(ep_flags INTERFACE $<TARGET_OBJECTS:ep_keep_plugins>)
endif()

# ep_add_module(NAME SOURCES … DEPS …): static library ep_NAME, alias ep::NAME. DEPS are the modules (and outside
# libraries) it may include; they are public, since module headers include one another.
function(ep_add_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_library(ep_${name} STATIC ${arg_SOURCES})
  add_library(ep::${name} ALIAS ep_${name})
  target_include_directories(ep_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
  target_link_libraries(ep_${name} PUBLIC ${arg_DEPS} PRIVATE ep::flags)
endfunction()

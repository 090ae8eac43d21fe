# The GPU's half of the project: finds CUDA and NCCL as EP_ENABLE_CUDA wants it, and says what it consists of.
# Sets EP_HAVE_CUDA, and the sources that nvcc and, in tests, the emulator compile.

set(EP_CUDA_KERNELS bucket_cuda.cu gate_grad_cuda.cu gemm_pointers_cuda.cu pack_cuda.cu pack_weighted_cuda.cu
  quantise_cuda.cu reduce_cuda.cu regroup_cuda.cu swiglu_cuda.cu swiglu_grad_cuda.cu)
list(TRANSFORM EP_CUDA_KERNELS PREPEND ${PROJECT_SOURCE_DIR}/kernels/)
set(EP_CUDA_SOURCES ../kernels/launch_error.cpp
  cuda/error.cpp cuda/gpu.cpp cuda/handles.cpp cuda/host_signal.cpp cuda/nvtx.cpp cublas/gemm.cpp nccl/communicator.cpp
  device/cuda_clock.cpp device/cuda_device.cpp device/cuda_gemm.cpp device/cuda_graph.cpp
  device/cuda_staging.cpp
  exchange/absentees.cpp exchange/cuda_aware_exchange.cpp exchange/cuda_mpi_exchange.cpp exchange/nccl_exchange.cpp
  exchange/staged_exchange.cpp)
list(TRANSFORM EP_CUDA_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/src/)
set(EP_CUDA_ABSENT_SOURCES device/cuda_absent.cpp exchange/cuda_absent.cpp)
list(TRANSFORM EP_CUDA_ABSENT_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/src/)

set(EP_HAVE_CUDA FALSE)
if(EP_ENABLE_CUDA STREQUAL "OFF")
  return()
endif()

# Ampere, Hopper, and Blackwell in data centres and workstations; PTX of the last for what comes after.
set(EP_CUDA_ARCHITECTURES 80 90 100 120 CACHE STRING "GPU architectures to compile the kernels for")
# What `scripts/setup --cuda` puts there on machines without a toolkit.
if(NOT CUDAToolkit_ROOT AND EXISTS ${PROJECT_SOURCE_DIR}/.cuda/toolkit/wheels)
  set(CUDAToolkit_ROOT ${PROJECT_SOURCE_DIR}/.cuda/toolkit/nvidia/cu13)
endif()
find_package(CUDAToolkit QUIET)
find_path(EP_NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(EP_NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
if(CUDAToolkit_FOUND AND CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.8 AND CUDAToolkit_NVCC_EXECUTABLE AND TARGET CUDA::cublas AND EP_NCCL_INCLUDE_DIR AND EP_NCCL_LIBRARY)
  set(EP_HAVE_CUDA TRUE)
  message(STATUS "CUDA ${CUDAToolkit_VERSION} and NCCL: the cuda device is built for ${EP_CUDA_ARCHITECTURES}")
elseif(EP_ENABLE_CUDA STREQUAL "ON")
  message(FATAL_ERROR "EP_ENABLE_CUDA is ON, but nvcc and cuBLAS of CUDA 12.8 or later, or NCCL, were not found "
    "(version: ${CUDAToolkit_VERSION}, nvcc: ${CUDAToolkit_NVCC_EXECUTABLE}, toolkit: ${CUDAToolkit_LIBRARY_DIR}, nccl: ${EP_NCCL_LIBRARY})")
else()
  message(STATUS "No CUDA toolkit of 12.8 or later with cuBLAS and NCCL: only the cpu device is built")
endif()

set(EP_NVCC_FLAGS -std=c++20 -O3 -lineinfo -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/src
  -Xcompiler=-Wall,-Wextra,-Wshadow,-fPIC)
if(EP_WERROR)
  list(APPEND EP_NVCC_FLAGS -Werror=all-warnings)
endif()
foreach(architecture IN LISTS EP_CUDA_ARCHITECTURES)
  list(APPEND EP_NVCC_FLAGS -gencode=arch=compute_${architecture},code=sm_${architecture})
endforeach()
list(GET EP_CUDA_ARCHITECTURES -1 architecture)
list(APPEND EP_NVCC_FLAGS -gencode=arch=compute_${architecture},code=compute_${architecture})

# ep_compile_kernels(OBJECTS kernel.cu …): compiles with nvcc, by commands of its own: CMake before 3.26 knows no C++20
# for this compiler, and checking the language would cost every configuration a compilation and a link.
function(ep_compile_kernels objects)
  set(made)
  foreach(source IN LISTS ARGN)
    get_filename_component(name ${source} NAME)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
    add_custom_command(OUTPUT ${object} DEPENDS ${source} DEPFILE ${object}.d VERBATIM COMMENT "nvcc ${name}"
      COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} ${EP_NVCC_FLAGS} -MD -MF ${object}.d -c ${source} -o ${object})
    list(APPEND made ${object})
  endforeach()
  set(${objects} ${made} PARENT_SCOPE)
endfunction()

// How emulated sources start a kernel, and the variables a kernel sees.
#pragma once
#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

// Rewritten at every switch between CUDA threads.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
inline constexpr int warpSize = 32;

namespace ep::emulator {

/// A kernel with its arguments, type-erased.
struct KernelCall {
  void (*invoke)(const void* kernel, const void* arguments) = nullptr;
  const void* kernel = nullptr;
  std::shared_ptr<const void> arguments;
  std::size_t argument_bytes = 0;
  std::vector<const void*> pointers;  // the arguments that are pointers, to be checked at launch
};

/// Enqueues `call`, or returns the error that CUDA would return for this configuration.
cudaError_t launch_kernel(const char* file, int line, const cudaLaunchConfig_t& config, KernelCall call);

/// The block's dynamic shared memory, 16-byte aligned. Its last byte lies in front of a guard page.
void* dynamic_shared_memory();

template <class... Parameters>
void invoke_kernel(const void* kernel, const void* arguments) {
  std::apply(reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(kernel)),
             *static_cast<const std::tuple<std::decay_t<Parameters>...>*>(arguments));
}

template <class... Parameters, class... Arguments>
cudaError_t launch(const char* file, int line, const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                   Arguments&&... arguments) {
  using Tuple = std::tuple<std::decay_t<Parameters>...>;
  auto tuple = std::make_shared<Tuple>(std::forward<Arguments>(arguments)...);
  KernelCall call{&invoke_kernel<Parameters...>, reinterpret_cast<const void*>(kernel), tuple, sizeof(Tuple), {}};
  [[maybe_unused]] const auto note = [&](const auto& argument) {
    if constexpr (std::is_pointer_v<std::decay_t<decltype(argument)>>) call.pointers.push_back(argument);
  };
  std::apply([&](const auto&... each) { (note(each), ...); }, *tuple);
  return launch_kernel(file, line, *config, std::move(call));
}

}  // namespace ep::emulator

// A macro, because the launch site is what an error message must name and NVIDIA's template has the same name.
#define cudaLaunchKernelEx(...) ::ep::emulator::launch(__FILE__, __LINE__, __VA_ARGS__)

template <class Kernel>
requires std::is_function_v<Kernel> cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute,
                                                                     int value) {
  return ::cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

template <class Kernel>
requires std::is_function_v<Kernel> cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel* kernel) {
  return ::cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}

template <class Kernel>
requires std::is_function_v<Kernel> cudaError_t
cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel* kernel, int threads, std::size_t shared_bytes) {
  return ::cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, reinterpret_cast<const void*>(kernel), threads,
                                                         shared_bytes);
}

#pragma once
#include <array>
#include <span>
#include <vector>

#include "cublas/gemm.hpp"
#include "cuda/handles.hpp"
#include "kernels/gemm.hpp"

namespace ep::device {

/// Grouped GEMMs on one stream: cuBLAS's grouped call where it has one, else a call a group. Everything it needs is
/// allocated when it is made.
class CudaGemm {
 public:
  /// @param sms that GEMMs may occupy, 0: all. Throws Error (cuda), Error (unsupported).
  CudaGemm(cudaStream_t stream, int sms);
  /// Throws Error (unsupported) for bf16 widths that are no multiple of 8, for which tensor cores have no fast path.
  void launch(const kernels::GroupedGemmArgs& args);
  /// A call a group: cublasGemmEx takes an fp32 result of bf16 matrices, of the grouped call that is not documented.
  void launch(const kernels::WeightGradArgs& args);

 private:
  struct Group {
    std::int64_t first_row;
    std::int32_t weights;
    int rows;
  };
  void launch_slice(const kernels::GroupedGemmArgs& args, std::span<const Group> groups);
  void launch_one_by_one(const kernels::GroupedGemmArgs& args, std::span<const Group> groups);

  cudaStream_t stream_;
  cuda::UniqueDeviceMemory workspace_;
  cuda::UniqueDeviceMemory pointers_;
  cublas::Context cublas_;
  std::array<bool, 3> grouped_{true, true, true};  // by core::DType, until cuBLAS says it cannot
};

}  // namespace ep::device

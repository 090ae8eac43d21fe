#include "cublas/gemm.hpp"

#include <vector>

namespace ep::cublas {
namespace {

cudaDataType type_of(core::DType dtype) {
  switch (dtype) {
    case core::DType::f32:
      return CUDA_R_32F;
    case core::DType::bf16:
      return CUDA_R_16BF;
    case core::DType::e4m3:
      break;
  }
  throw core::Error(core::ExitCode::unsupported, "GEMM: fp8 is a payload type, not one to compute in");
}

cublasHandle_t create() {
  cublasHandle_t handle = nullptr;
  check_cublas(cublasCreate(&handle));
  return handle;
}

}  // namespace

void check_cublas(cublasStatus_t status, core::SourceLocation where) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw core::Error(core::ExitCode::cuda, fmt::format("{}: {} ({}:{})", cublasGetStatusName(status),
                                                      cublasGetStatusString(status), where.file_name(), where.line()));
}

Context::Context(cudaStream_t stream, void* workspace, std::size_t workspace_bytes, int sms) : handle_(create()) {
  check_cublas(cublasSetStream(handle_.get(), stream));
  // After the stream: setting it falls back to the default workspace.
  check_cublas(cublasSetWorkspace(handle_.get(), workspace, workspace_bytes));
  if (sms > 0) check_cublas(cublasSetSmCountTarget(handle_.get(), sms));
}

// cuBLAS is column-major: there a row-major [rows, k] is [k, rows], and out^T = weights * in^T.

void Context::multiply(const Gemm& gemm, const Shape& shape) {
  const cudaDataType type = type_of(shape.dtype);
  const float one = 1;
  const float zero = 0;
  check_cublas(cublasGemmEx(handle_.get(), shape.k_by_n ? CUBLAS_OP_N : CUBLAS_OP_T, CUBLAS_OP_N, shape.n, gemm.rows,
                            shape.k, &one, gemm.weights, type, shape.k_by_n ? shape.n : shape.k, gemm.in, type, shape.k,
                            &zero, gemm.out, type, shape.n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

/// out^T [k, n] = in^T [k, rows] * out_grad [rows, n], where both operands lie as [k, rows] and [n, rows].
void Context::weight_grad(const WeightGrad& gemm, const Shape& shape) {
  const cudaDataType type = type_of(shape.dtype);
  const float one = 1;
  const float beta = gemm.accumulate ? 1.0F : 0.0F;
  check_cublas(cublasGemmEx(handle_.get(), CUBLAS_OP_N, CUBLAS_OP_T, shape.k, shape.n, gemm.rows, &one, gemm.in, type,
                            shape.k, gemm.out_grad, type, shape.n, &beta, gemm.out, CUDA_R_32F, shape.k,
                            CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

bool Context::multiply(const GroupedGemm& gemm, const Shape& shape) {
  const cudaDataType type = type_of(shape.dtype);
  const std::size_t groups = gemm.rows.size();
  const std::vector<cublasOperation_t> of_weights(groups, shape.k_by_n ? CUBLAS_OP_N : CUBLAS_OP_T);
  const std::vector<cublasOperation_t> plain(groups, CUBLAS_OP_N);
  const std::vector<int> widths(groups, shape.n);
  const std::vector<int> depths(groups, shape.k);
  const std::vector<int>& weights_leading = shape.k_by_n ? widths : depths;
  const std::vector<int> one_each(groups, 1);
  const std::vector<float> ones(groups, 1.0F);
  const std::vector<float> zeros(groups, 0.0F);
  const cublasStatus_t status = cublasGemmGroupedBatchedEx(
      handle_.get(), of_weights.data(), plain.data(), widths.data(), gemm.rows.data(), depths.data(), ones.data(),
      gemm.weights, type, weights_leading.data(), gemm.in, type, depths.data(), zeros.data(), gemm.out, type,
      widths.data(), static_cast<int>(groups), one_each.data(), CUBLAS_COMPUTE_32F);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  check_cublas(status);
  return true;
}

}  // namespace ep::cublas

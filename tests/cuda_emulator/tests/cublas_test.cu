#include <numeric>

#include <cublas_v2.h>
#include <cuda_bf16.h>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

constexpr float kOne = 1;
constexpr float kZero = 0;
constexpr std::size_t kWorkspaceBytes = 1024;

cublasHandle_t new_handle(cudaStream_t stream) {
  cublasHandle_t handle = nullptr;
  EXPECT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasSetWorkspace(handle, device_array<char>(kWorkspaceBytes), kWorkspaceBytes), CUBLAS_STATUS_SUCCESS);
  return handle;
}

template <class T>
std::vector<T> counted(std::size_t count, float first) {
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(T(first + static_cast<float>(i % 7)));
  return values;
}

/// Row-major out[rows, n] = in[rows, k] * weights[n, k]^T: column-major, the transposed weights times the rows.
template <class T>
std::vector<float> expected(const std::vector<T>& in, const std::vector<T>& weights, int rows, int n, int k) {
  std::vector<float> out;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < n; ++column) {
      float sum = 0;
      for (int x = 0; x < k; ++x) {
        sum += static_cast<float>(in[static_cast<std::size_t>(row * k + x)]) *
               static_cast<float>(weights[static_cast<std::size_t>(column * k + x)]);
      }
      out.push_back(sum);
    }
  }
  return out;
}

cublasStatus_t multiply(cublasHandle_t handle, const float* in, const float* weights, float* out, int rows, int n,
                        int k) {
  return cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, n, rows, k, &kOne, weights, CUDA_R_32F, k, in, CUDA_R_32F, k,
                      &kZero, out, CUDA_R_32F, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

TEST(Cublas, multiplies) {
  const auto in = counted<float>(3 * 5, 1);
  const auto weights = counted<float>(4 * 5, -2);
  float* out = device_array<float>(12);
  cudaStream_t stream = new_stream();
  ASSERT_EQ(multiply(new_handle(stream), device_copy(in), device_copy(weights), out, 3, 4, 5), CUBLAS_STATUS_SUCCESS);
  cudaStreamSynchronize(stream);
  EXPECT_EQ(fetch(out, 12), expected(in, weights, 3, 4, 5));
}

TEST(Cublas, multiplies_groups_of_bf16) {
  using bf16 = __nv_bfloat16;
  cudaStream_t stream = new_stream();
  const cublasHandle_t handle = new_handle(stream);
  const int rows[] = {3, 1};
  const int n[] = {8, 8};
  const int k[] = {16, 16};
  const int sizes[] = {1, 1};
  const float ones[] = {1, 1};
  const float zeros[] = {0, 0};
  const cublasOperation_t transposed[] = {CUBLAS_OP_T, CUBLAS_OP_T};
  const cublasOperation_t plain[] = {CUBLAS_OP_N, CUBLAS_OP_N};
  const auto in = counted<bf16>(4 * 16, 1);
  const auto weights = counted<bf16>(2 * 8 * 16, -3);
  bf16* d_in = device_copy(in);
  bf16* d_weights = device_copy(weights);
  bf16* d_out = device_array<bf16>(4 * 8);
  const auto pointers = device_copy<void*>({d_weights, d_weights + 128, d_in, d_in + 48, d_out, d_out + 24});
  ASSERT_EQ(
      cublasGemmGroupedBatchedEx(handle, transposed, plain, n, rows, k, ones, pointers, CUDA_R_16BF, k, pointers + 2,
                                 CUDA_R_16BF, k, zeros, pointers + 4, CUDA_R_16BF, n, 2, sizes, CUBLAS_COMPUTE_32F),
      CUBLAS_STATUS_SUCCESS);
  cudaStreamSynchronize(stream);
  auto wanted = expected(in, weights, 3, 8, 16);
  const auto second = expected(std::vector<bf16>(in.begin() + 48, in.end()),
                               std::vector<bf16>(weights.begin() + 128, weights.end()), 1, 8, 16);
  wanted.insert(wanted.end(), second.begin(), second.end());
  const auto out = fetch(d_out, 32);
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(static_cast<float>(out[i]), static_cast<float>(bf16(wanted[i]))) << i;
  }
}

TEST(Cublas, multiplies_strided_batches_into_what_is_there) {
  cudaStream_t stream = new_stream();
  float* a = device_copy<float>({1, 2, 3, 4});
  float* b = device_copy<float>({10, 100});
  float* c = device_copy<float>({1, 1, 1, 1});
  const float half = 0.5f;
  ASSERT_EQ(cublasGemmStridedBatchedEx(new_handle(stream), CUBLAS_OP_N, CUBLAS_OP_N, 2, 1, 1, &kOne, a, CUDA_R_32F, 2,
                                       2, b, CUDA_R_32F, 1, 1, &half, c, CUDA_R_32F, 2, 2, 2, CUBLAS_COMPUTE_32F,
                                       CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  cudaStreamSynchronize(stream);
  EXPECT_EQ(fetch(c, 4), (std::vector<float>{10.5, 20.5, 300.5, 400.5}));
}

TEST(Cublas, refuses_wrong_shapes_and_targets) {
  const cublasHandle_t handle = new_handle(nullptr);
  float* data = device_copy(std::vector<float>(64, 1));
  EXPECT_EQ(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &kOne, data, CUDA_R_32F, 3, data, CUDA_R_32F, 4,
                         &kZero, data, CUDA_R_32F, 4, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetSmCountTarget(handle, 1000), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetWorkspace(handle, device_array<char>(1024) + 16, 512), CUBLAS_STATUS_INVALID_VALUE);
}

TEST(Cublas, bounds_are_checked) {
  float* ones = device_copy(std::vector<float>(16, 1));
  EXPECT_REPORT(multiply(new_handle(nullptr), ones, ones, device_array<float>(15), 4, 4, 4), "out-of-bounds");
  EXPECT_REPORT(multiply(new_handle(nullptr), ones + 1, ones, device_array<float>(16), 4, 4, 4), "out-of-bounds");
  EXPECT_CLEAN(multiply(new_handle(nullptr), ones, ones, device_array<float>(16), 4, 4, 4));
}

TEST(Cublas, inputs_must_be_written) {
  if (!kChecked) GTEST_SKIP() << "only the checked flavour sees this";
  float* ones = device_copy(std::vector<float>(16, 1));
  EXPECT_REPORT(multiply(new_handle(nullptr), ones, device_array<float>(16), device_array<float>(16), 4, 4, 4),
                "uninitialised");
}

TEST(Cublas, loses_its_workspace_with_its_stream) {
  const auto forgetful = [] {
    const cublasHandle_t handle = new_handle(nullptr);
    cublasSetStream(handle, new_stream());
    float* ones = device_copy(std::vector<float>(16, 1));
    multiply(handle, ones, ones, device_array<float>(16), 4, 4, 4);
  };
  EXPECT_REPORT(forgetful(), "cublas-workspace");
}

TEST(Cublas, workspace_is_not_shared_by_streams) {
  if (!kChecked) GTEST_SKIP() << "only the checked flavour sees this";
  const auto share = [](bool shared) {
    float* ones = device_copy(std::vector<float>(16, 1));
    char* workspace = device_array<char>(2 * kWorkspaceBytes);
    for (std::size_t i = 0; i < 2; ++i) {
      const cublasHandle_t handle = new_handle(new_stream());
      cublasSetWorkspace(handle, workspace + (shared ? 0 : i * kWorkspaceBytes), kWorkspaceBytes);
      multiply(handle, ones, ones, device_array<float>(16), 4, 4, 4);
    }
  };
  EXPECT_REPORT(share(true), "stream-race");
  EXPECT_CLEAN(share(false));
}

TEST(Cublas, fails_where_it_is_told_to) {
  config().faults.cublas = 1;
  float* ones = device_copy(std::vector<float>(16, 1));
  EXPECT_EQ(multiply(new_handle(nullptr), ones, ones, ones, 4, 4, 4), CUBLAS_STATUS_EXECUTION_FAILED);
}

}  // namespace
}  // namespace ep::emulator::test

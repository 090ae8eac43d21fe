#include <cstdint>
#include <vector>

#include <cublas_v2.h>
#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/cublas/gemm.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  int sm_count_target = 0;
};

using namespace ep::emulator;

namespace {

constexpr std::uintptr_t kWorkspaceAlignment = 256;

/// Where the operands of the i-th GEMM of a call come from.
using Batch = std::vector<Gemm>;

float scalar(const void* value) {
  return *static_cast<const float*>(value);
}

Matrix operand(const void* data, cudaDataType_t type, int leading, cublasOperation_t operation = CUBLAS_OP_N) {
  return {const_cast<void*>(data), type, leading, operation != CUBLAS_OP_N};
}

bool types_are_supported(const Gemm& gemm, cublasComputeType_t compute) {
  return compute == CUBLAS_COMPUTE_32F && type_is_supported(gemm.a.type) && gemm.a.type == gemm.b.type &&
         type_is_supported(gemm.c.type);
}

/// cuBLAS writes to the workspace whenever it likes: two streams must not share one.
void use_workspace(const cublasContext& handle) {
  if (handle.workspace == nullptr) return;
  Memory::get().require_range(handle.workspace, handle.workspace_bytes, "cuBLAS workspace");
  Checker::get().on_range(handle.workspace, handle.workspace_bytes, Access::write);
}

/// Replaces the operands by what the pointer arrays in device memory hold when the GEMMs run.
void resolve_pointers(Batch& batch, const void* const* a, const void* const* b, void* const* c) {
  const std::size_t bytes = batch.size() * sizeof(void*);
  for (const void* array : {static_cast<const void*>(a), static_cast<const void*>(b), static_cast<const void*>(c)}) {
    Memory::get().require_range(array, bytes, "cuBLAS pointer array");
    Checker::get().require_initialised(array, bytes, "cuBLAS pointer array");
    Checker::get().on_range(array, bytes, Access::read);
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i].a.data = const_cast<void*>(a[i]);
    batch[i].b.data = const_cast<void*>(b[i]);
    batch[i].c.data = c[i];
  }
}

/// Enqueues a batch; `prepare` runs first, on the engine's thread.
template <class Prepare>
cublasStatus_t enqueue(cublasHandle_t handle, const char* name, Batch batch, cublasComputeType_t compute,
                       Prepare prepare) {
  static std::uint64_t calls = 0;
  if (fault_due(config().faults.cublas, calls)) return CUBLAS_STATUS_EXECUTION_FAILED;
  for (const Gemm& gemm : batch) {
    if (!gemm.shapes_are_valid()) return CUBLAS_STATUS_INVALID_VALUE;
    if (!types_are_supported(gemm, compute)) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (config().require_cublas_workspace && handle->workspace == nullptr) {
    fail("cublas-workspace",
         fmt::format("{} without a workspace since the last cublasSetStream: cuBLAS may allocate", name));
  }
  const auto work = [batch = std::move(batch), prepare, state = *handle]() mutable {
    // After a failed kernel nothing runs any more; its results, pointers among them, are not there.
    if (Engine::get().sticky_error() != cudaSuccess) return true;
    use_workspace(state);
    prepare(batch);
    for (const Gemm& gemm : batch) gemm.run();
    return true;
  };
  Engine& engine = Engine::get();
  const cudaError_t error = engine.submit(engine.stream(handle->stream), {.name = name, .work = work});
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

constexpr auto kNothingToPrepare = [](Batch&) {};

std::uint64_t grouped_calls = 0;

}  // namespace

std::uint64_t ep::emulator::grouped_gemm_calls() {
  return grouped_calls;
}

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  handle->workspace = nullptr;  // cuBLAS falls back to its default workspace, which it allocates
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  const Guard guard;
  if (reinterpret_cast<std::uintptr_t>(workspace) % kWorkspaceAlignment != 0) return CUBLAS_STATUS_INVALID_VALUE;
  Memory::get().require_range(workspace, bytes, "cublasSetWorkspace");
  handle->workspace = workspace;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t, cublasPointerMode_t mode) {
  return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int count) {
  int multiprocessors = 0;
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0);
  if (count < 0 || count > multiprocessors) return CUBLAS_STATUS_INVALID_VALUE;
  handle->sm_count_target = count;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetSmCountTarget(cublasHandle_t handle, int* count) {
  *count = handle->sm_count_target;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    default:
      return "CUBLAS_STATUS (emulated)";
  }
}

const char* cublasGetStatusString(cublasStatus_t status) {
  return cublasGetStatusName(status);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  const Guard guard;
  const Gemm gemm{m,
                  n,
                  k,
                  scalar(alpha),
                  scalar(beta),
                  operand(a, a_type, lda, op_a),
                  operand(b, b_type, ldb, op_b),
                  operand(c, c_type, ldc)};
  return enqueue(handle, "cublasGemmEx", {gemm}, compute, kNothingToPrepare);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType a_type, int lda,
                                          long long stride_a, const void* b, cudaDataType b_type, int ldb,
                                          long long stride_b, const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long stride_c, int count, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  const Guard guard;
  Batch batch;
  const auto at = [](const void* first, cudaDataType type, long long elements) {
    return static_cast<const char*>(first) + elements * static_cast<long long>(element_bytes(type));
  };
  for (int i = 0; i < count; ++i) {
    batch.push_back({m, n, k, scalar(alpha), scalar(beta), operand(at(a, a_type, i * stride_a), a_type, lda, op_a),
                     operand(at(b, b_type, i * stride_b), b_type, ldb, op_b),
                     operand(at(c, c_type, i * stride_c), c_type, ldc)});
  }
  return enqueue(handle, "cublasGemmStridedBatchedEx", std::move(batch), compute, kNothingToPrepare);
}

cublasStatus_t cublasGemmBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
                                   int k, const void* alpha, const void* const a[], cudaDataType a_type, int lda,
                                   const void* const b[], cudaDataType b_type, int ldb, const void* beta,
                                   void* const c[], cudaDataType c_type, int ldc, int count,
                                   cublasComputeType_t compute, cublasGemmAlgo_t) {
  const Guard guard;
  const Gemm gemm{m,
                  n,
                  k,
                  scalar(alpha),
                  scalar(beta),
                  operand(nullptr, a_type, lda, op_a),
                  operand(nullptr, b_type, ldb, op_b),
                  operand(nullptr, c_type, ldc)};
  return enqueue(handle, "cublasGemmBatchedEx", Batch(static_cast<std::size_t>(count), gemm), compute,
                 [a, b, c](Batch& batch) { resolve_pointers(batch, a, b, c); });
}

cublasStatus_t cublasGemmGroupedBatchedEx(cublasHandle_t handle, const cublasOperation_t op_a[],
                                          const cublasOperation_t op_b[], const int m[], const int n[], const int k[],
                                          const void* alpha, const void* const a[], cudaDataType_t a_type,
                                          const int lda[], const void* const b[], cudaDataType_t b_type,
                                          const int ldb[], const void* beta, void* const c[], cudaDataType_t c_type,
                                          const int ldc[], int groups, const int group_sizes[],
                                          cublasComputeType_t compute) {
  const Guard guard;
  ++grouped_calls;
  const std::string& refused = config().refuse_grouped_gemm;
  if ((refused == "fp32" && a_type == CUDA_R_32F) || (refused == "bf16" && a_type == CUDA_R_16BF))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  Batch batch;  // shapes and scalars are host arrays, read now; the pointer arrays are in device memory
  for (int i = 0; i < groups; ++i) {
    const Gemm gemm{m[i],
                    n[i],
                    k[i],
                    static_cast<const float*>(alpha)[i],
                    static_cast<const float*>(beta)[i],
                    operand(nullptr, a_type, lda[i], op_a[i]),
                    operand(nullptr, b_type, ldb[i], op_b[i]),
                    operand(nullptr, c_type, ldc[i])};
    batch.insert(batch.end(), static_cast<std::size_t>(group_sizes[i]), gemm);
  }
  return enqueue(handle, "cublasGemmGroupedBatchedEx", std::move(batch), compute,
                 [a, b, c](Batch& each) { resolve_pointers(each, a, b, c); });
}

}  // extern "C"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>

#include <cblas.h>
#include <fmt/format.h>

#include "core/error.hpp"
#include "kernels/gemm.hpp"

// Weak: another BLAS links as well, and then decides its threads itself.
extern "C" __attribute__((weak)) void openblas_set_num_threads(int threads);
extern "C" __attribute__((weak)) char* openblas_get_config();

namespace ep::kernels {
namespace {

int blas_int(std::int64_t value, const char* name) {
  if (value < 0 || value > std::numeric_limits<int>::max()) {
    throw core::Error(core::ExitCode::unsupported, fmt::format("GEMM: {} = {}: the BLAS takes sizes from 0 to {}", name,
                                                               value, std::numeric_limits<int>::max()));
  }
  return static_cast<int>(value);
}

void require_f32(core::DType dtype) {
  if (dtype == core::DType::f32) return;
  throw core::Error(core::ExitCode::unsupported,
                    fmt::format("GEMM: {} is not supported on the cpu device", core::name_of(dtype)));
}

}  // namespace

void set_gemm_threads(int threads) {
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(std::max(threads, 1));
}

std::string gemm_library() {
  return openblas_get_config != nullptr ? openblas_get_config() : "a BLAS that does not tell its name";
}

void grouped_gemm_cpu(const GroupedGemmArgs& args) {
  require_f32(args.dtype);
  const int n = blas_int(args.n, "n");
  const int k = blas_int(args.k, "k");
  const auto* in = static_cast<const float*>(args.in);
  const auto* weights = static_cast<const float*>(args.weights);
  auto* out = static_cast<float*>(args.out);
  for (const std::int64_t rows : args.group_rows) {
    const int m = blas_int(rows, "rows");
    if (m > 0 && n > 0) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, args.k_by_n ? CblasNoTrans : CblasTrans, m, n, k, 1.0F, in,
                  std::max(k, 1), weights, args.k_by_n ? n : std::max(k, 1), 0.0F, out, n);
    }
    in += rows * args.k;
    out += rows * args.n;
    if (weights != nullptr) weights += args.n * args.k;  // null where a rank has no experts
  }
}

void weight_grad_cpu(const WeightGradArgs& args) {
  require_f32(args.dtype);
  const int n = blas_int(args.n, "n");
  const int k = blas_int(args.k, "k");
  const auto* out_grad = static_cast<const float*>(args.out_grad);
  const auto* in = static_cast<const float*>(args.in);
  float* out = args.out;
  for (const std::int64_t rows : args.group_rows) {
    const int m = blas_int(rows, "rows");
    if (m > 0 && n > 0 && k > 0) {
      cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, k, m, 1.0F, out_grad, n, in, k,
                  args.accumulate ? 1.0F : 0.0F, out, k);
    } else if (!args.accumulate) {
      std::fill_n(out, args.n * args.k, 0.0F);
    }
    out_grad += rows * args.n;
    in += rows * args.k;
    out += args.n * args.k;
  }
}

}  // namespace ep::kernels

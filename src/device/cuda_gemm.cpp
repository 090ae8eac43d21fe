#include "device/cuda_gemm.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "cuda/error.hpp"
#include "kernels/gemm_pointers.hpp"

namespace ep::device {
namespace {

#ifdef EP_CUDA_EMULATED
constexpr std::size_t kWorkspaceBytes = 64 << 10;  // the emulator looks at each byte of it at each GEMM
#else
// What NVIDIA recommends for Hopper (cuBLAS documentation, cublasSetWorkspace); smaller GPUs need less.
constexpr std::size_t kWorkspaceBytes = 32 << 20;
#endif
constexpr std::size_t kMaxGroups = kernels::GemmPointersArgs::kMaxGroups;

int gemm_int(std::int64_t value, const char* name) {
  if (value < 0 || value > std::numeric_limits<int>::max())
    throw core::Error(core::ExitCode::unsupported, fmt::format("GEMM: {} = {}: cuBLAS takes ints", name, value));
  return static_cast<int>(value);
}

void require_width(std::int64_t value, const char* name, core::DType dtype) {
  if (dtype == core::DType::bf16 && value % 8 != 0)
    throw core::Error(core::ExitCode::unsupported,
                      fmt::format("GEMM: {} = {}: on a GPU bf16 widths must be a multiple of 8", name, value));
}

cublas::Shape shape_of(const kernels::GroupedGemmArgs& args) {
  return {gemm_int(args.n, "n"), gemm_int(args.k, "k"), args.dtype, args.k_by_n};
}

}  // namespace

CudaGemm::CudaGemm(cudaStream_t stream, int sms)
    : stream_(stream),
      workspace_(cuda::allocate_device(kWorkspaceBytes)),
      pointers_(cuda::allocate_device(3 * kMaxGroups * sizeof(void*))),
      cublas_(stream, workspace_.get(), kWorkspaceBytes, sms) {}

void CudaGemm::launch(const kernels::GroupedGemmArgs& args) {
  require_width(args.n, "n", args.dtype);
  require_width(args.k, "k", args.dtype);
  std::vector<Group> groups;
  std::int64_t row = 0;
  for (std::size_t group = 0; group < args.group_rows.size(); ++group) {
    const int rows = gemm_int(args.group_rows[group], "rows");
    if (rows > 0) groups.push_back({row, static_cast<std::int32_t>(group), rows});
    row += rows;
  }
  if (groups.empty() || args.n == 0) return;
  if (groups.size() == 1) return launch_one_by_one(args, groups);
  for (std::size_t first = 0; first < groups.size(); first += kMaxGroups)
    launch_slice(args, std::span(groups).subspan(first, std::min(kMaxGroups, groups.size() - first)));
}

void CudaGemm::launch_slice(const kernels::GroupedGemmArgs& args, std::span<const Group> groups) {
  bool& grouped = grouped_[static_cast<std::size_t>(args.dtype)];
  if (!grouped) return launch_one_by_one(args, groups);
  const std::int64_t element = core::size_of(args.dtype);
  auto* const pointers = static_cast<void**>(pointers_.get());
  kernels::GemmPointersArgs where{static_cast<const std::byte*>(args.in),
                                  static_cast<const std::byte*>(args.weights),
                                  static_cast<std::byte*>(args.out),
                                  args.k * element,
                                  args.n * args.k * element,
                                  args.n * element,
                                  const_cast<const void**>(pointers),
                                  const_cast<const void**>(pointers + kMaxGroups),
                                  pointers + 2 * kMaxGroups,
                                  static_cast<std::int32_t>(groups.size()),
                                  {}};
  std::vector<int> rows;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    where.groups[i] = {groups[i].first_row, groups[i].weights};
    rows.push_back(groups[i].rows);
  }
  // The GEMMs before, on this stream, are done with the pointers when this kernel writes them.
  kernels::gemm_pointers_cuda(where, stream_);
  grouped = cublas_.multiply({rows, where.in_pointers, where.weights_pointers, where.out_pointers}, shape_of(args));
  if (!grouped) launch_one_by_one(args, groups);
}

void CudaGemm::launch_one_by_one(const kernels::GroupedGemmArgs& args, std::span<const Group> groups) {
  const std::int64_t element = core::size_of(args.dtype);
  for (const Group& group : groups) {
    const cublas::Gemm gemm{static_cast<const std::byte*>(args.in) + group.first_row * args.k * element,
                            static_cast<const std::byte*>(args.weights) + group.weights * args.n * args.k * element,
                            static_cast<std::byte*>(args.out) + group.first_row * args.n * element, group.rows};
    cublas_.multiply(gemm, shape_of(args));
  }
}

void CudaGemm::launch(const kernels::WeightGradArgs& args) {
  require_width(args.n, "n", args.dtype);
  require_width(args.k, "k", args.dtype);
  const std::int64_t element = core::size_of(args.dtype);
  const std::int64_t out_bytes = args.n * args.k * std::int64_t{sizeof(float)};
  const auto* out_grad = static_cast<const std::byte*>(args.out_grad);
  const auto* in = static_cast<const std::byte*>(args.in);
  auto* out = reinterpret_cast<std::byte*>(args.out);
  for (const std::int64_t rows : args.group_rows) {
    if (rows > 0) {
      cublas_.weight_grad({out_grad, in, out, gemm_int(rows, "rows"), args.accumulate},
                          {gemm_int(args.n, "n"), gemm_int(args.k, "k"), args.dtype});
    } else if (!args.accumulate) {
      cuda::check_cuda(cudaMemsetAsync(out, 0, static_cast<std::size_t>(out_bytes), stream_));
    }
    out_grad += rows * args.n * element;
    in += rows * args.k * element;
    out += out_bytes;
  }
}

}  // namespace ep::device

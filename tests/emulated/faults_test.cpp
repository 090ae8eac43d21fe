// What a call that fails leaves behind, which a run that ends cannot show.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "cuda/gpu.hpp"
#include "cuda_emulator/cublas/gemm.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "nccl/communicator.hpp"
#include "tests/emulated/one_gpu_a_rank.hpp"

namespace ep {
namespace {

using core::DType;
using device::MemoryUse;
using emulator::config;

template <class Call>
void expect_error(core::ExitCode code, const std::string& fragment, Call call) {
  try {
    call();
    ADD_FAILURE() << "no " << fragment;
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(fragment), std::string::npos) << error.what();
  }
}

/// An open group would belong to the thread, and take in whatever NCCL is asked for next.
TEST(Faults, ASendThatFailsLeavesNoGroupOpen) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "nothing travels";
  const auto device = exchange::make_device_for_nccl();
  const auto exchange = exchange::make_nccl_exchange(world, {});
  const device::Buffer rows = device->allocate(64, MemoryUse::send);
  const std::vector<std::int64_t> one{1, 1};
  const std::vector<std::int64_t> offsets{0, 1};
  config().faults.nccl_transfer = 1;
  expect_error(core::ExitCode::communication, "unhandled system error", [&] {
    exchange->all_to_all(device->comm_stream(), {rows.data(), rows.data() + 32, one, offsets, one, offsets, 16});
  });
  config().faults.nccl_transfer = 0;
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage) << "a group was open";
}

TEST(Faults, ABufferThatCannotBeRegisteredIsFreed) {
  const auto device = exchange::make_device_for_nccl();
  const auto exchange = exchange::make_nccl_exchange(mpi::Communicator::world(), {});
  const std::int64_t before = device->available_bytes(MemoryUse::device);
  config().faults.nccl = 2;  // the first call allocates
  expect_error(core::ExitCode::communication, "registering a buffer",
               [&] { static_cast<void>(exchange::allocate_registered(*exchange, 1 << 20)); });
  config().faults.nccl = 0;
  EXPECT_EQ(device->available_bytes(MemoryUse::device), before);
}

/// What CUDA remembers of a call until somebody asks would be taken for a failure of the next.
TEST(Faults, ACallThatFailedIsForgotten) {
  expect_error(core::ExitCode::cuda, "cudaErrorInvalidDevice", [] { cuda::use_gpu(1000); });
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

/// Nothing clears that one: every wait ends with it, and destructors pass it over.
TEST(Faults, AKernelThatFailedIsNotForgotten) {
  {
    const auto device = device::make_cuda_device({});
    const device::Buffer rows = device->allocate(3 * 64, MemoryUse::device);
    device->fill(device->compute_stream(), rows.data(), 0, 3 * 64);
    config().faults.kernel = 1;
    device->launch(device->compute_stream(), kernels::SwigluArgs{rows.data(), rows.data() + 128, 1, 16, DType::f32});
    for (int i = 0; i < 2; ++i)
      expect_error(core::ExitCode::cuda, "cudaErrorLaunchFailure", [&] { device->synchronize(); });
    config().faults.kernel = 0;
  }
  emulator::Engine::get().set_sticky_error(cudaSuccess);
}

class GroupedGemm {
 public:
  explicit GroupedGemm(DType dtype) : dtype_(dtype), element_(core::size_of(dtype)) {}

  /// Multiplies zeros of two groups by anything; returns how often that took a grouped GEMM, or the attempt.
  std::uint64_t run(device::Device& device) const {
    constexpr std::int64_t kWidth = 8;
    const std::vector<std::int64_t> rows{1, 2};
    const std::int64_t in_bytes = 3 * kWidth * element_;
    const std::int64_t weight_bytes = 2 * kWidth * kWidth * element_;
    const device::Buffer in = device.allocate(in_bytes, MemoryUse::device);
    const device::Buffer weights = device.allocate(weight_bytes, MemoryUse::device);
    const device::Buffer out = device.allocate(in_bytes, MemoryUse::device);
    device::Stream& stream = device.compute_stream();
    device.fill(stream, in.data(), 0, in_bytes);
    device.fill(stream, weights.data(), 1, weight_bytes);
    const std::uint64_t before = emulator::grouped_gemm_calls();
    device.launch(stream,
                  kernels::GroupedGemmArgs{rows, in.data(), weights.data(), out.data(), kWidth, kWidth, dtype_});
    std::vector<std::byte> result(static_cast<std::size_t>(in_bytes), std::byte{1});
    device.copy(stream, result.data(), out.data(), in_bytes);
    device.synchronize();
    EXPECT_EQ(result, std::vector<std::byte>(result.size()));  // memory that nothing has written is no zeros
    return emulator::grouped_gemm_calls() - before;
  }

 private:
  DType dtype_;
  std::int64_t element_;
};

TEST(Faults, CublasIsAskedOnceForGroupedGemmsOfATypeThatItRefuses) {
  const GroupedGemm of_bf16(DType::bf16);
  const GroupedGemm of_fp32(DType::f32);
  for (const bool refuses_bf16 : {true, false}) {
    const auto device = device::make_cuda_device({});
    config().refuse_grouped_gemm = refuses_bf16 ? "bf16" : "fp32";
    EXPECT_EQ(of_bf16.run(*device), 1U);
    EXPECT_EQ(of_fp32.run(*device), 1U);
    EXPECT_EQ(of_bf16.run(*device), refuses_bf16 ? 0U : 1U);
    EXPECT_EQ(of_fp32.run(*device), refuses_bf16 ? 1U : 0U);
    config().refuse_grouped_gemm.clear();
  }
}

}  // namespace
}  // namespace ep

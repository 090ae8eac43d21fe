// What the cuda device alone has to show: what it refuses before anything is enqueued, and the order of its graphs.
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "device/cuda_device.hpp"

namespace ep::device {
namespace {

using core::DType;

class CudaRefusals : public testing::Test {
 protected:
  /// Whether launching `args` on `stream` is refused with a message that says `fragment`.
  template <class Args>
  testing::AssertionResult refused(const Args& args, const std::string& fragment,
                                   core::ExitCode code = core::ExitCode::unsupported, bool on_comm = false) {
    try {
      device_->launch(on_comm ? device_->comm_stream() : device_->compute_stream(), args);
    } catch (const core::Error& error) {
      if (error.code() == code && std::string(error.what()).find(fragment) != std::string::npos)
        return testing::AssertionSuccess();
      return testing::AssertionFailure() << error.what();
    }
    return testing::AssertionFailure() << "it was launched";
  }

  std::unique_ptr<Device> device_ = make_cuda_device({});
};

TEST_F(CudaRefusals, TypesThatKernelsDoNotTake) {
  constexpr DType kByte = DType::e4m3;
  const std::vector<std::int64_t> one_row{1};
  EXPECT_TRUE(
      refused(kernels::RegroupArgs{nullptr, nullptr, nullptr, 1, 1, 16, DType::f32, kByte, {}, nullptr}, "fp8"));
  EXPECT_TRUE(refused(kernels::QuantiseArgs{nullptr, nullptr, 1, 16, kByte}, "fp8 already"));
  EXPECT_TRUE(refused(kernels::SwigluArgs{nullptr, nullptr, 1, 16, kByte}, "fp8"));
  EXPECT_TRUE(refused(kernels::SwigluGradArgs{nullptr, nullptr, nullptr, 1, 16, kByte}, "fp8"));
  EXPECT_TRUE(
      refused(kernels::ReduceArgs{nullptr, nullptr, nullptr, nullptr, nullptr, 1, 1, 16, kByte, DType::f32}, "fp8"));
  EXPECT_TRUE(refused(kernels::GateGradArgs{nullptr, nullptr, nullptr, nullptr, 1, 1, 16, kByte, DType::f32}, "fp8"));
  EXPECT_TRUE(
      refused(kernels::PackWeightedArgs{nullptr, nullptr, nullptr, 1, 1, 16, kByte, nullptr, {}, nullptr}, "fp8"));
  EXPECT_TRUE(refused(kernels::GroupedGemmArgs{one_row, nullptr, nullptr, nullptr, 16, 16, kByte}, "fp8"));
}

TEST_F(CudaRefusals, ShapesBeyondAKernel) {
  EXPECT_TRUE(refused(kernels::BucketArgs{nullptr, nullptr, 1, 1, 1025, 1025, nullptr, nullptr, nullptr}, "1024"));
  EXPECT_TRUE(refused(kernels::PackArgs{nullptr, nullptr, 1, 1, 24, nullptr, {}, nullptr}, "multiple of 16"));
  EXPECT_TRUE(refused(kernels::QuantiseArgs{nullptr, nullptr, 1, 24, DType::f32}, "multiple of 16"));
  EXPECT_TRUE(refused(kernels::SwigluArgs{nullptr, nullptr, std::int64_t{1} << 31, 16, DType::f32}, "too many rows"));
  constexpr std::int64_t kMany = std::int64_t{1} << 35;
  EXPECT_TRUE(refused(kernels::GateGradArgs{nullptr, nullptr, nullptr, nullptr, kMany, 1, 16, DType::f32, DType::f32},
                      "more blocks"));
  EXPECT_TRUE(refused(kernels::GateGradArgs{nullptr, nullptr, nullptr, nullptr, 1, 1, 18, DType::f32, DType::f32},
                      "multiple of 4"));
}

/// What is refused while a graph is captured is refused as ever, and the device goes on.
TEST_F(CudaRefusals, WorkOfAGraph) {
  const kernels::SwigluArgs args{nullptr, nullptr, 1, 16, DType::e4m3};
  try {
    device_->capture([&] { device_->launch(device_->compute_stream(), args); });
    ADD_FAILURE() << "it was captured";
  } catch (const core::Error& error) {
    EXPECT_NE(std::string(error.what()).find("fp8"), std::string::npos) << error.what();
  }
  EXPECT_TRUE(refused(args, "fp8"));
  device_->synchronize();
}

/// A replay comes in order with both streams, whichever of them the graph was launched on.
TEST_F(CudaRefusals, NoWorkBesideAReplayThatShouldComeBeforeOrAfterIt) {
  constexpr std::int64_t kBytes = 64 << 10;
  const auto allocate = [&] { return device_->allocate(kBytes, MemoryUse::device); };
  const Buffer first = allocate();
  const Buffer copied = allocate();
  const Buffer last = allocate();
  Stream& comm = device_->comm_stream();
  const auto graph =
      device_->capture([&] { device_->copy(device_->compute_stream(), copied.data(), first.data(), kBytes); });
  for (int round = 1; round <= 4; ++round) {
    device_->fill(comm, first.data(), round, kBytes);
    device_->replay(*graph);
    device_->copy(comm, last.data(), copied.data(), kBytes);
    device_->synchronize();
    std::vector<std::byte> bytes(kBytes);
    device_->copy(comm, bytes.data(), last.data(), kBytes);
    device_->synchronize();
    EXPECT_EQ(bytes, std::vector<std::byte>(kBytes, std::byte(round)));
  }
}

/// As of an error that is not the project's own, such as a lack of host memory.
TEST_F(CudaRefusals, WorkOfAGraphWhateverIsThrown) {
  EXPECT_THROW(device_->capture([] { throw std::runtime_error("elsewhere"); }), std::runtime_error);
  EXPECT_NO_THROW(device_->synchronize());  // which a stream that is still captured would refuse
}

TEST_F(CudaRefusals, GemmsThatCublasDoesNotTake) {
  const std::vector<std::int64_t> rows{1};
  const std::vector<std::int64_t> too_many{std::int64_t{1} << 31};
  EXPECT_TRUE(refused(kernels::GroupedGemmArgs{rows, nullptr, nullptr, nullptr, 12, 16, DType::bf16}, "n = 12"));
  EXPECT_TRUE(refused(kernels::WeightGradArgs{rows, nullptr, nullptr, nullptr, 16, 12, DType::bf16, false}, "k = 12"));
  EXPECT_TRUE(refused(kernels::GroupedGemmArgs{too_many, nullptr, nullptr, nullptr, 16, 16, DType::f32}, "rows = "));
  EXPECT_TRUE(refused(kernels::GroupedGemmArgs{rows, nullptr, nullptr, nullptr, 16, 16, DType::f32}, "compute stream",
                      core::ExitCode::internal, true));
  EXPECT_TRUE(refused(kernels::WeightGradArgs{rows, nullptr, nullptr, nullptr, 16, 16, DType::f32, false},
                      "compute stream", core::ExitCode::internal, true));
}

}  // namespace
}  // namespace ep::device

// The wrapper of NCCL's communicators: what an exchange that succeeds does not call, and how failures end.
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "cuda/gpu.hpp"
#include "mpi/communicator.hpp"
#include "nccl/communicator.hpp"

namespace ep::nccl {
namespace {

class NcclCommunicator : public testing::Test {
 protected:
  NcclCommunicator() { cuda::use_gpu(world_.rank()); }

  [[nodiscard]] Communicator make(const Config& config = {}) const {
    std::string bytes(sizeof(ncclUniqueId), '\0');
    ncclUniqueId id{};
    if (world_.rank() == 0) {
      id = make_unique_id();
      bytes.assign(id.internal, sizeof(id));
    }
    world_.broadcast(bytes, 0);
    bytes.copy(id.internal, sizeof(id));
    return {id, world_.size(), world_.rank(), config};
  }

  mpi::Communicator world_ = mpi::Communicator::world();
};

TEST_F(NcclCommunicator, KnowsItsVersion) {
  EXPECT_EQ(version(),
            std::to_string(NCCL_MAJOR) + "." + std::to_string(NCCL_MINOR) + "." + std::to_string(NCCL_PATCH));
}

TEST_F(NcclCommunicator, SplitsByColourAndOrdersByKey) {
  Communicator all = make();
  const int color = world_.rank() % 2;
  Communicator part = all.split(color, -world_.rank());
  Communicator moved(std::move(part));
  int ranks = 0;
  int rank = -1;
  check_nccl(ncclCommCount(moved.get(), &ranks));
  check_nccl(ncclCommUserRank(moved.get(), &rank));
  EXPECT_EQ(ranks, (world_.size() + 1 - color) / 2);
  EXPECT_EQ(rank, ranks - 1 - world_.rank() / 2);
}

TEST_F(NcclCommunicator, IsAbortedWhenAnExceptionPasses) {
  const auto fail = [&] {
    const Communicator communicator = make();
    throw std::runtime_error("elsewhere");
  };
  EXPECT_THROW(fail(), std::runtime_error);
}

/// The last rank has gone without a word: the others would wait for it in ncclCommFinalize.
TEST_F(NcclCommunicator, EndsAloneWhenAPeerIsGone) {
  if (world_.size() == 1) GTEST_SKIP() << "has no peers";
  Communicator communicator = make({0, 2});
  if (world_.rank() == world_.size() - 1) communicator.abort();
}

TEST_F(NcclCommunicator, TellsOfMemoryThatThereIsNot) {
  EXPECT_THROW(static_cast<void>(allocate(std::size_t{1} << 50)), core::Error);
}

/// Nobody else comes to this one.
TEST_F(NcclCommunicator, WaitsNoLongerThanItMay) {
  try {
    const Communicator lonely(make_unique_id(), 2, 0, {0, 0.05});
    FAIL() << "connected with nobody";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ExitCode::timeout);
  }
}

}  // namespace
}  // namespace ep::nccl

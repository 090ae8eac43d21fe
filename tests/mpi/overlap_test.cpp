// The overlap figures against a known truth: sleeps of known length on both streams, overlapping by a known share,
// through executor, sampler and figures as a run takes them. A sleep needs no core, so a busy machine disturbs little.
#include "measure/overlap.hpp"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "bench/sampler.hpp"
#include "device/cpu_stream.hpp"

namespace ep::bench {
namespace {

constexpr double kSleepMs = 30;

/// Sleeps instead of moving rows: `kSleepMs` on the compute stream, and as long on the communication stream, in two
/// exchanges of which the first takes `lead` of it.
class SleepingExchange : public exchange::Exchange {
 public:
  SleepingExchange(device::Device& device, double lead) : device_(device), lead_(lead) {}
  [[nodiscard]] std::string_view name() const override { return "sleep"; }
  [[nodiscard]] std::string_view algorithm() const override { return ""; }
  void exchange_counts(std::span<const std::int32_t>, std::span<std::int32_t>) override {}
  void all_to_all(device::Stream& stream, const exchange::AllToAll&) override {
    const bool compute = &stream == &device_.compute_stream();
    const double share = compute ? 1 : first_ ? lead_ : 1 - lead_;
    if (!compute) first_ = !first_;
    static_cast<device::CpuStream&>(stream).enqueue(
        [share] { std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(share * kSleepMs)); });
  }

 private:
  device::Device& device_;
  double lead_;
  bool first_ = true;
};

schedule::Operation operation(int id, schedule::OpKind kind, schedule::Lane lane) {
  schedule::Operation op;
  op.id = id;
  op.kind = kind;
  op.lane = lane;
  return op;
}

/// Two exchanges on the communication stream; what stands for compute waits for the first.
schedule::Schedule two_then_one() {
  using schedule::Lane;
  using schedule::OpKind;
  schedule::Schedule schedule;
  schedule.strategy = "sleep";
  schedule.direction = schedule::name_of(schedule::Direction::forward);
  schedule.ops = {operation(0, OpKind::dispatch, Lane::comm), operation(1, OpKind::dispatch, Lane::comm),
                  operation(2, OpKind::combine, Lane::compute)};
  schedule.ops[2].waits = {0};
  return schedule;
}

class OverlapOfSleeps : public ::testing::TestWithParam<int> {};

TEST_P(OverlapOfSleeps, IsRecoveredWithinThreePoints) {
  const double share = GetParam() / 100.0;
  const mpi::Communicator communicator = mpi::Communicator::world();
  const int ranks = communicator.size();
  const auto device = device::make_cpu_device({.threads = 1});
  SleepingExchange exchange(*device, 1 - share);
  const auto routing = routing::generate("uniform", {2 * ranks, 1, ranks, 1, {}});
  const auto placement = placement::make_placement("block", ranks, ranks);
  const auto topology = placement::block_topology(ranks, ranks);
  const plan::LayerShape shape{16, 8, 8, core::DType::f32, core::DType::f32};
  layer::Layer layer(*device, exchange, {routing, placement, topology, shape, 1, communicator.rank(), 1});

  // Until the median is known, but no more than a few seconds.
  const mpi::ClockSync clock(communicator);
  SampleSet samples;
  layer::Executor executor(layer);
  take_samples(executor, {two_then_one()}, communicator, clock, {1, 7, 2.0}, samples);

  for (int rank = 0; rank < ranks; ++rank) {
    const auto figures = measure::overlap(samples.of_schedule.front().overlap[static_cast<std::size_t>(rank)]);
    ASSERT_TRUE(figures);
    EXPECT_NEAR(figures->efficiency, share, 0.03) << "rank " << rank;
    EXPECT_NEAR(figures->exposed_us, (1 - share) * kSleepMs * 1e3, 0.03 * kSleepMs * 1e3) << "rank " << rank;
    EXPECT_NEAR(figures->interference, 1, 0.03) << "rank " << rank;
  }
}

INSTANTIATE_TEST_SUITE_P(Percent, OverlapOfSleeps, ::testing::Values(0, 25, 50, 75, 100),
                         [](const auto& parameter) { return std::to_string(parameter.param); });

}  // namespace
}  // namespace ep::bench

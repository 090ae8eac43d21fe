// The whole layer on every rank: all strategies, dtypes and awkward shapes against the plan and the reference.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "layer/executor.hpp"
#include "layer/reference.hpp"
#include "schedule/strategy.hpp"
#include "tests/mpi/layer_backend.hpp"
#include "tests/mpi/layer_case.hpp"

namespace ep::layer {
namespace {

constexpr int kAllTokens = 1 << 20;

/// Passes everything on, then garbles the first row that came from elsewhere, in all exchanges but the first `spared`.
class GarblingExchange : public exchange::Exchange {
 public:
  GarblingExchange(exchange::Exchange& inner, device::Device& device, int rank, int spared = 0)
      : inner_(inner), device_(device), rank_(rank), spared_(spared) {}
  [[nodiscard]] std::string_view name() const override { return inner_.name(); }
  [[nodiscard]] std::string_view algorithm() const override { return inner_.algorithm(); }
  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    inner_.exchange_counts(send, recv);
  }
  void all_to_all(device::Stream& comm, const exchange::AllToAll& args) override {
    EXPECT_EQ(&comm, &device_.comm_stream());
    inner_.all_to_all(comm, args);
    if (spared_-- > 0) return;
    for (std::size_t peer = 0; peer < args.recv_rows.size(); ++peer) {
      if (static_cast<int>(peer) == rank_ || args.recv_rows[peer] == 0) continue;
      device_.fill(comm, args.recv + args.recv_offsets[peer] * args.row_bytes, 0x3f, args.row_bytes);
      return;
    }
  }

 private:
  exchange::Exchange& inner_;
  device::Device& device_;
  int rank_;
  int spared_;
};

/// All tests share a back end: with several ranks, making one takes longer than most of them.
class LayerTest : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { backend.emplace(make_layer_backend(mpi::Communicator::world())); }
  static void TearDownTestSuite() { backend.reset(); }

  Layer make_layer(exchange::Exchange& exchange, int max_chunks, bool gradients = false) {
    return Layer(*device_, exchange,
                 {routing_, routed_.placement, routed_.topology, GetParam().shape, 3, communicator_.rank(), max_chunks,
                  gradients});
  }

  [[nodiscard]] plan::Plan plan(int chunks) const { return routed_.plan(chunks); }

  mpi::Communicator communicator_ = mpi::Communicator::world();
  int ranks_ = communicator_.size();
  RoutedCase routed_{GetParam(), ranks_};
  const routing::Routing& routing_ = routed_.routing;
  inline static std::optional<LayerBackend> backend;
  std::unique_ptr<device::Device>& device_ = backend->device;
  std::unique_ptr<exchange::Exchange>& exchange_ = backend->exchange;
};

INSTANTIATE_TEST_SUITE_P(Cases, LayerTest, ::testing::ValuesIn(layer_cases()),
                         [](const auto& parameter) { return parameter.param.name; });

TEST_P(LayerTest, EveryStrategyMatchesPlanAndReference) {
  Layer layer = make_layer(*exchange_, 5);
  Executor executor(layer);
  const std::vector<std::string> strategies{"sequential", "overlapped", "chunked:3",
                                            "two-batch",  "chunked:5",  "overlapped"};
  for (const std::string& name : strategies) {
    const schedule::Strategy strategy = schedule::parse_strategy(name);
    const auto schedule = schedule::build(strategy, plan(strategy.chunks), GetParam().shape);
    layer.set_chunks(strategy.chunks);
    executor.run(schedule, Phase::whole);
    const Verdict verdict = check(layer, kAllTokens);
    EXPECT_TRUE(verdict.passed) << name << ": " << verdict.complaint;
    const std::int64_t own = routing::first_token(routing_.tokens, ranks_, communicator_.rank() + 1) -
                             routing::first_token(routing_.tokens, ranks_, communicator_.rank());
    EXPECT_EQ(verdict.tokens_checked, own);
  }
}

TEST_P(LayerTest, EveryStrategysGradientsMatchTheReference) {
  Layer layer = make_layer(*exchange_, 5, true);
  Executor executor(layer);
  using schedule::Direction;
  const std::vector<std::string> strategies{"sequential",         "overlapped", "overlapped+defer-dw", "chunked:3",
                                            "chunked:5+defer-dw", "two-batch",  "two-batch+defer-dw",  "chunked:1"};
  for (const std::string& name : strategies) {
    for (const Direction direction : {Direction::step, Direction::backward}) {
      const schedule::Strategy strategy = schedule::parse_strategy(name);
      const auto schedule = schedule::build(strategy, plan(strategy.chunks), GetParam().shape, direction);
      executor.prepare(schedule);
      executor.run(schedule, Phase::whole);
      Verdict verdict = check(layer, kAllTokens);
      check_gradients(layer, kAllTokens, verdict);
      EXPECT_TRUE(verdict.passed) << name << " " << schedule.direction << ": " << verdict.complaint;
    }
  }
}

/// As the sampler does it: the backward pass reads what the forward left, however often it runs.
TEST_P(LayerTest, BackwardMayRunAgain) {
  Layer layer = make_layer(*exchange_, 2, true);
  Executor executor(layer);
  const auto schedule =
      schedule::build(schedule::parse_strategy("two-batch"), plan(2), GetParam().shape, schedule::Direction::backward);
  executor.prepare(schedule);
  for (const Phase phase : {Phase::whole, Phase::compute_alone, Phase::comm_alone, Phase::compute_alone, Phase::whole})
    executor.run(schedule, phase);
  Verdict verdict = check(layer, kAllTokens);
  check_gradients(layer, kAllTokens, verdict);
  EXPECT_TRUE(verdict.passed) << verdict.complaint;
}

TEST_P(LayerTest, NoBackwardWithoutRoomForGradients) {
  Layer layer = make_layer(*exchange_, 1);
  Executor executor(layer);
  const auto schedule =
      schedule::build(schedule::parse_strategy("sequential"), plan(1), GetParam().shape, schedule::Direction::backward);
  EXPECT_THROW(executor.prepare(schedule), core::Error);
}

TEST_P(LayerTest, EitherSideAloneLeavesTheResultRight) {
  Layer layer = make_layer(*exchange_, 1);
  Executor executor(layer);
  const auto schedule = schedule::build(schedule::parse_strategy("overlapped"), plan(1), GetParam().shape);
  executor.run(schedule, Phase::whole);
  for (const auto& span : executor.run(schedule, Phase::compute_alone)) EXPECT_EQ(span.lane, schedule::Lane::compute);
  for (const auto& span : executor.run(schedule, Phase::comm_alone)) EXPECT_NE(span.lane, schedule::Lane::compute);
  executor.run(schedule, Phase::compute_alone);
  EXPECT_TRUE(check(layer, kAllTokens).passed);
}

TEST_P(LayerTest, SpansFollowTheSchedule) {
  Layer layer = make_layer(*exchange_, 1);
  Executor executor(layer);
  const auto schedule = schedule::build(schedule::parse_strategy("sequential"), plan(1), GetParam().shape);
  const std::vector<schedule::Span> spans = executor.run(schedule, Phase::whole);
  ASSERT_EQ(spans.size(), schedule.ops.size());
  for (std::size_t op = 0; op < spans.size(); ++op) {
    EXPECT_EQ(spans[op].op, static_cast<int>(op));
    EXPECT_LE(spans[op].start_us, spans[op].end_us);
    if (op > 0) {
      const bool same_clock = (spans[op].lane == schedule::Lane::host) == (spans[op - 1].lane == schedule::Lane::host);
      const double tolerance_us = same_clock ? 0 : backend->clock_tolerance_us;
      EXPECT_GE(spans[op].start_us, spans[op - 1].end_us - tolerance_us) << schedule.ops[op].name;
    }
  }
}

TEST_P(LayerTest, CheckFindsOneWrongRow) {
  if (ranks_ == 1) GTEST_SKIP() << "nothing travels";
  GarblingExchange garbling(*exchange_, *device_, communicator_.rank());
  Layer layer = make_layer(garbling, 1);
  Executor executor(layer);
  const auto schedule = schedule::build(schedule::parse_strategy("sequential"), plan(1), GetParam().shape);
  executor.run(schedule, Phase::whole);
  const Verdict verdict = check(layer, kAllTokens);
  std::int64_t returned = 0;
  for (int peer = 0; peer < ranks_; ++peer) {
    const std::int64_t rows = layer.chunks().front().send_rows[static_cast<std::size_t>(peer)];
    if (peer != communicator_.rank()) returned += rows;
  }
  if (returned > 0) {
    EXPECT_FALSE(verdict.passed);
  }
}

/// Dispatch and combine of the forward pass are right, those of the gradients are not.
TEST_P(LayerTest, CheckFindsOneWrongGradient) {
  GarblingExchange garbling(*exchange_, *device_, communicator_.rank(), 2);
  Layer layer = make_layer(garbling, 1, true);
  Executor executor(layer);
  const auto schedule =
      schedule::build(schedule::parse_strategy("sequential"), plan(1), GetParam().shape, schedule::Direction::step);
  executor.prepare(schedule);
  executor.run(schedule, Phase::whole);
  Verdict verdict = check(layer, kAllTokens);
  EXPECT_TRUE(verdict.passed) << verdict.complaint;
  check_gradients(layer, kAllTokens, verdict);
  const ChunkRows& rows = layer.chunks().front();
  const bool travelled = rows.sent > rows.send_rows[static_cast<std::size_t>(communicator_.rank())];
  EXPECT_TRUE(verdict.passed || ranks_ > 1);
  if (travelled) {
    EXPECT_FALSE(verdict.passed);
  }
}

}  // namespace
}  // namespace ep::layer

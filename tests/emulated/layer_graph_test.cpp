// The whole layer as graphs, in every strategy and direction: captured, replayed with other graphs in between, and held
// against the reference.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "layer/executor.hpp"
#include "layer/reference.hpp"
#include "schedule/strategy.hpp"
#include "tests/emulated/one_gpu_a_rank.hpp"

namespace ep::layer {
namespace {

constexpr int kAllTokens = 1 << 20;

/// Passes everything on and counts; garbles what arrives while it is told to.
class WatchedExchange : public exchange::Exchange {
 public:
  WatchedExchange(exchange::Exchange& inner, device::Device& device) : inner_(inner), device_(device) {}
  [[nodiscard]] std::string_view name() const override { return inner_.name(); }
  [[nodiscard]] std::string_view algorithm() const override { return inner_.algorithm(); }
  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    inner_.exchange_counts(send, recv);
  }
  void all_to_all(device::Stream& comm, const exchange::AllToAll& args) override {
    inner_.all_to_all(comm, args);
    ++calls;
    for (std::size_t peer = 0; garble && peer < args.recv_rows.size(); ++peer)
      device_.fill(comm, args.recv + args.recv_offsets[peer] * args.row_bytes, 0x3f,
                   args.recv_rows[peer] * args.row_bytes);
  }

  int calls = 0;
  bool garble = false;

 private:
  exchange::Exchange& inner_;
  device::Device& device_;
};

class LayerGraphTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<schedule::Schedule> schedules(schedule::Direction direction,
                                                          const std::vector<std::string>& names) const {
    std::vector<schedule::Schedule> made;
    for (const std::string& name : names) {
      const schedule::Strategy strategy = schedule::parse_strategy(name);
      plan::Plan plan = plan::make_plan(routing_, placement_, topology_, strategy.chunks);
      plan.counts_known = true;
      made.push_back(schedule::build(strategy, plan, shape_, direction));
    }
    return made;
  }

  void expect_right(const std::string& name, bool gradients) {
    Verdict verdict = check(layer_, kAllTokens);
    if (gradients) check_gradients(layer_, kAllTokens, verdict);
    EXPECT_TRUE(verdict.passed) << name << ": " << verdict.complaint;
  }

  void run_as_graphs(schedule::Direction direction, const std::vector<std::string>& names);

  mpi::Communicator communicator_ = mpi::Communicator::world();
  plan::LayerShape shape_{48, 24, 16, core::DType::bf16, core::DType::bf16};
  placement::Placement placement_ = placement::make_placement("block", 6, communicator_.size());
  placement::Topology topology_ = placement::block_topology(communicator_.size(), communicator_.size());
  routing::Routing routing_ = routing::generate("lognormal:1.2", {37, 2, 6, 7, {}});
  std::unique_ptr<device::Device> device_ = exchange::make_device_for_nccl();
  std::unique_ptr<exchange::Exchange> nccl_ = exchange::make_nccl_exchange(communicator_, {});
  WatchedExchange exchange_{*nccl_, *device_};
  Layer layer_{*device_, exchange_, {routing_, placement_, topology_, shape_, 3, communicator_.rank(), 5, true, true}};
};

/// The first run is wrong on purpose, so that nothing but replays can leave what is right.
void LayerGraphTest::run_as_graphs(schedule::Direction direction, const std::vector<std::string>& names) {
  const std::vector<schedule::Schedule> all = schedules(direction, names);
  const bool gradients = direction != schedule::Direction::forward;
  Executor executor(layer_, true);
  exchange_.garble = true;
  for (const schedule::Schedule& each : all) {
    executor.prepare(each);
    executor.run(each, Phase::whole);
  }
  exchange_.garble = false;
  for (const schedule::Schedule& each : all) {
    executor.prepare(each);
    for (const Phase phase : {Phase::whole, Phase::compute_alone, Phase::comm_alone}) executor.run(each, phase);
  }
  const int calls = exchange_.calls;
  for (const schedule::Schedule& each : all) {
    executor.prepare(each);
    for (const Phase phase : {Phase::comm_alone, Phase::compute_alone}) executor.run(each, phase);
    const double before_us = core::now_us();
    for (const schedule::Span& span : executor.run(each, Phase::whole)) {
      EXPECT_GT(span.start_us, before_us - 1000) << each.strategy << ": the time of an earlier replay";
      EXPECT_LE(span.start_us, span.end_us);
    }
    expect_right(each.strategy, gradients);
  }
  EXPECT_EQ(exchange_.calls, calls) << "a replay goes to the exchange again";
}

TEST_F(LayerGraphTest, Forward) {
  run_as_graphs(schedule::Direction::forward, {"sequential", "overlapped", "chunked:3", "two-batch", "chunked:5"});
}

TEST_F(LayerGraphTest, Backward) {
  run_as_graphs(schedule::Direction::backward, {"sequential", "overlapped", "overlapped+defer-dw", "chunked:3",
                                                "chunked:5+defer-dw", "two-batch", "two-batch+defer-dw"});
}

TEST_F(LayerGraphTest, Step) {
  run_as_graphs(schedule::Direction::step, {"sequential", "overlapped", "overlapped+defer-dw", "chunked:3",
                                            "chunked:5+defer-dw", "two-batch", "two-batch+defer-dw"});
}

TEST_F(LayerGraphTest, WhatTheHostTakesPartInIsRefused) {
  const schedule::Strategy strategy = schedule::parse_strategy("sequential");
  const auto with_counts = schedule::build(strategy, plan::make_plan(routing_, placement_, topology_, 1), shape_);
  Executor executor(layer_, true);
  EXPECT_THROW(executor.run(with_counts, Phase::whole), core::Error);
}

TEST_F(LayerGraphTest, WhatWaitsForTheDeviceIsRefused) {
  try {
    static_cast<void>(device_->capture([&] { device_->synchronize(); }));
    FAIL() << "captured a wait";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ExitCode::unsupported) << error.what();
  }
  EXPECT_NO_THROW(device_->synchronize());
}

}  // namespace
}  // namespace ep::layer

// The same layer on a GPU and on the cpu device: plan, order and packed rows must be equal to the last bit, results to
// rounding.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "layer/executor.hpp"
#include "schedule/strategy.hpp"
#include "tests/mpi/layer_backend.hpp"
#include "tests/mpi/layer_case.hpp"

namespace ep::layer {
namespace {

/// One all-to-all: its tables, the rows that left, and what lay in the receive buffer then, own rows included.
struct Moved {
  std::string name;
  std::int64_t row_bytes = 0;
  std::vector<std::int64_t> send_rows;
  std::vector<std::int64_t> recv_rows;
  std::vector<std::byte> sent;
  std::vector<std::byte> arrived;
};

/// Passes everything on and keeps what moves, copied in stream order into pinned memory, so that nothing waits for it.
class RecordingExchange : public exchange::Exchange {
 public:
  RecordingExchange(exchange::Exchange& inner, device::Device& device, int rank)
      : inner_(inner), device_(device), rank_(static_cast<std::size_t>(rank)) {}
  [[nodiscard]] std::string_view name() const override { return inner_.name(); }
  [[nodiscard]] std::string_view algorithm() const override { return inner_.algorithm(); }
  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    inner_.exchange_counts(send, recv);
  }
  void all_to_all(device::Stream& comm, const exchange::AllToAll& args) override {
    Record& record = records_.emplace_back();
    record.tables = {args.name,
                     args.row_bytes,
                     {args.send_rows.begin(), args.send_rows.end()},
                     {args.recv_rows.begin(), args.recv_rows.end()},
                     {},
                     {}};
    for (std::size_t peer = 0; peer < args.send_rows.size(); ++peer) {
      const std::byte* const rows = args.send + args.send_offsets[peer] * args.row_bytes;
      if (peer != rank_) keep(comm, rows, args.send_rows[peer] * args.row_bytes, record.sent);
    }
    inner_.all_to_all(comm, args);
    for (std::size_t peer = 0; peer < args.recv_rows.size(); ++peer) {
      const std::byte* const rows = args.recv + args.recv_offsets[peer] * args.row_bytes;
      keep(comm, rows, args.recv_rows[peer] * args.row_bytes, record.arrived);
    }
  }

  /// @pre the device is idle
  [[nodiscard]] std::vector<Moved> moved() const {
    std::vector<Moved> all;
    for (const Record& record : records_) {
      Moved& moved = all.emplace_back(record.tables);
      for (const auto& part : record.sent)
        moved.sent.insert(moved.sent.end(), part.data(), part.data() + part.size_bytes());
      for (const auto& part : record.arrived)
        moved.arrived.insert(moved.arrived.end(), part.data(), part.data() + part.size_bytes());
    }
    return all;
  }

 private:
  struct Record {
    Moved tables;
    std::vector<device::Buffer> sent;
    std::vector<device::Buffer> arrived;
  };
  void keep(device::Stream& comm, const std::byte* rows, std::int64_t bytes, std::vector<device::Buffer>& to) {
    if (bytes == 0) return;
    to.push_back(device_.allocate(bytes, device::MemoryUse::host_pinned));
    device_.copy(comm, to.back().data(), rows, bytes);
  }

  exchange::Exchange& inner_;
  device::Device& device_;
  std::size_t rank_;
  std::vector<Record> records_;
};

/// What a step leaves on one rank.
struct Outcome {
  std::vector<ChunkRows> chunks;
  std::vector<std::int32_t> positions;
  std::vector<Moved> moved;
  std::vector<float> output;
  std::vector<float> token_grad;
  std::vector<float> gate_grad;
  std::vector<std::vector<float>> weights_grads;
};

class LayerAgainstCpu : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    const auto world = mpi::Communicator::world();
    on_gpu.emplace(make_layer_backend(world));
    on_cpu.emplace(LayerBackend{exchange::make_mpi_exchange(world, {}), device::make_cpu_device({.threads = 1})});
  }
  static void TearDownTestSuite() {
    on_gpu.reset();
    on_cpu.reset();
  }

  /// A forward and a backward pass.
  Outcome step(const LayerBackend& backend, const std::string& name) {
    RecordingExchange exchange(*backend.exchange, *backend.device, communicator_.rank());
    const schedule::Strategy strategy = schedule::parse_strategy(name);
    const auto schedule =
        schedule::build(strategy, routed_.plan(strategy.chunks), GetParam().shape, schedule::Direction::step);
    Layer layer(*backend.device, exchange,
                {routed_.routing, routed_.placement, routed_.topology, GetParam().shape, 3, communicator_.rank(),
                 strategy.chunks, true});
    Executor executor(layer);
    executor.prepare(schedule);
    executor.run(schedule, Phase::whole);
    Outcome outcome{
        layer.chunks(), layer.positions(), exchange.moved(), layer.output(), layer.token_grad(), layer.gate_grad(), {}};
    const auto experts = static_cast<std::int64_t>(routed_.placement.experts_of(communicator_.rank()).size());
    for (std::int64_t slot = GetParam().shape.shared_ffn > 0 ? Layer::kSharedSlot : 0; slot < experts; ++slot) {
      for (const Matrix matrix : {Matrix::gate_up, Matrix::down})
        outcome.weights_grads.push_back(layer.weights_grad(matrix, slot));
    }
    return outcome;
  }

  /// By all ranks, in all exchanges. @pre collective
  [[nodiscard]] double bytes_sent(const Outcome& outcome) const {
    double own = 0;
    for (const Moved& moved : outcome.moved) own += static_cast<double>(moved.sent.size());
    const std::vector<double> all = communicator_.gather_all(std::span<const double>(&own, 1));
    return std::accumulate(all.begin(), all.end(), 0.0);
  }

  [[nodiscard]] double planned_bytes() const {
    const plan::LayerShape& shape = GetParam().shape;
    std::int64_t bytes = 0;
    for (const core::DType dtype :
         {shape.dispatch_dtype, shape.combine_dtype, plan::resting_dtype(shape), shape.combine_dtype})
      bytes += plan::count_bytes(routed_.plan(1), shape.hidden, dtype).wire_rank;
    return static_cast<double>(bytes);
  }

  mpi::Communicator communicator_ = mpi::Communicator::world();
  RoutedCase routed_{GetParam(), communicator_.size()};
  inline static std::optional<LayerBackend> on_gpu;
  inline static std::optional<LayerBackend> on_cpu;
};

/// How far results may be apart, as a part of the largest value of their row or matrix, since single elements may
/// cancel. bf16 keeps 8 bits: a result may be rounded to the neighbour, 2^-7 away at most, and half of that again is
/// allowed for what the GPU rounds on the way, since it computes in bf16 and the cpu device in fp32. Where results
/// travel as fp32 both compute in it, whatever the type of dispatch, and only the order of additions differs.
double bound(const plan::LayerShape& shape) {
  return shape.combine_dtype == core::DType::f32 ? 0x1p-18 : 0x1.8p-7;
}

/// Largest difference of two rows of `width` over the largest value of the cpu's; 0 where all is equal.
double difference(const std::vector<float>& gpu, const std::vector<float>& cpu, std::size_t width) {
  if (gpu.size() != cpu.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t first = 0; first < cpu.size(); first += width) {
    double apart = 0;
    double scale = 0;
    for (std::size_t i = first; i < first + width; ++i) {
      const double each = std::abs(static_cast<double>(gpu[i]) - static_cast<double>(cpu[i]));
      apart = std::max(apart, std::isfinite(each) ? each : std::numeric_limits<double>::infinity());
      scale = std::max(scale, std::abs(static_cast<double>(cpu[i])));
    }
    if (apart > 0) worst = std::max(worst, apart / scale);
  }
  return worst;
}

/// What follows from the routing alone, and what was packed: also gradients, whose only rounding is IEEE 754's.
void expect_same_rows(const Outcome& gpu, const Outcome& cpu) {
  EXPECT_EQ(gpu.positions, cpu.positions);
  ASSERT_EQ(gpu.chunks.size(), cpu.chunks.size());
  for (std::size_t chunk = 0; chunk < cpu.chunks.size(); ++chunk) {
    EXPECT_EQ(gpu.chunks[chunk].send_counts, cpu.chunks[chunk].send_counts);
    EXPECT_EQ(gpu.chunks[chunk].recv_counts, cpu.chunks[chunk].recv_counts);
    EXPECT_EQ(gpu.chunks[chunk].expert_rows, cpu.chunks[chunk].expert_rows);
  }
  ASSERT_EQ(gpu.moved.size(), cpu.moved.size());
  for (std::size_t i = 0; i < cpu.moved.size(); ++i) {
    const Moved& here = gpu.moved[i];
    const Moved& there = cpu.moved[i];
    EXPECT_EQ(here.name, there.name);
    EXPECT_EQ(here.row_bytes, there.row_bytes);
    EXPECT_EQ(here.send_rows, there.send_rows);
    EXPECT_EQ(here.recv_rows, there.recv_rows);
    if (there.name != "dispatch") continue;
    EXPECT_TRUE(here.sent == there.sent) << "packed rows of exchange " << i;
    EXPECT_TRUE(here.arrived == there.arrived) << "rows that arrived in exchange " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, LayerAgainstCpu, ::testing::ValuesIn(layer_cases()),
                         [](const auto& parameter) { return parameter.param.name; });

TEST_P(LayerAgainstCpu, DiffersByRoundingAlone) {
  const plan::LayerShape& shape = GetParam().shape;
  const auto hidden = static_cast<std::size_t>(shape.hidden);
  const double most = bound(shape);
  for (const std::string name : {"sequential", "chunked:3"}) {
    const Outcome gpu = step(*on_gpu, name);
    const Outcome cpu = step(*on_cpu, name);
    expect_same_rows(gpu, cpu);
    EXPECT_EQ(bytes_sent(gpu), planned_bytes()) << name;
    EXPECT_LE(difference(gpu.output, cpu.output, hidden), most) << name;
    EXPECT_LE(difference(gpu.token_grad, cpu.token_grad, hidden), most) << name;
    EXPECT_LE(difference(gpu.gate_grad, cpu.gate_grad, cpu.gate_grad.size()), most) << name;
    ASSERT_EQ(gpu.weights_grads.size(), cpu.weights_grads.size());
    for (std::size_t i = 0; i < cpu.weights_grads.size(); ++i)
      EXPECT_LE(difference(gpu.weights_grads[i], cpu.weights_grads[i], cpu.weights_grads[i].size()), most) << name;
  }
}

}  // namespace
}  // namespace ep::layer

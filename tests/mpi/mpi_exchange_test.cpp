// What is particular to the mpi exchange: how messages are cut and paced, on made-up nodes. What every exchange must
// do is in tests/conformance.
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "exchange/exchange.hpp"
#include "tests/mpi/traffic.hpp"

namespace ep::exchange {
namespace {

struct Case {
  std::string name;
  MpiOptions options;
  int ranks_per_node;         // 0: one node
  std::int64_t largest_rows;  // of 3 bytes: small where fragments are
};

Case windowed(const std::string& name, Window between, int ranks_per_node, std::int64_t largest_rows) {
  Case result{name, {}, ranks_per_node, largest_rows};
  result.options.between_nodes = between;
  return result;
}

std::vector<Case> cases() {
  std::vector<Case> all{
      windowed("one_node", {}, 0, 50000),
      windowed("defaults_between", MpiOptions{}.between_nodes, 1, 200000),
      windowed("two_a_node", MpiOptions{}.between_nodes, 2, 200000),
      windowed("three_a_node", {1024, 1, 2}, 3, 20000),
      windowed("one_byte", {1, 1, 1}, 1, 100),
      windowed("seven_bytes", {7, 1, 2}, 1, 300),
      windowed("seven_bytes_two_peers", {7, 2, 1}, 2, 300),
      windowed("sixty_four_kilobytes", {65536, 1, 1}, 1, 100000),
      windowed("unpaced_fragments", {100, 0, 3}, 1, 3000),
      windowed("whole_messages_in_rounds", {0, 1, 2}, 1, 100000),
  };
  Case by_messages = windowed("one_node_by_messages", {}, 0, 50000);
  by_messages.options.direct_in_node = false;
  all.push_back(by_messages);
  by_messages = windowed("two_a_node_by_messages", MpiOptions{}.between_nodes, 2, 200000);
  by_messages.options.direct_in_node = false;
  all.push_back(by_messages);
  by_messages.name = "two_a_node_by_fragments";
  by_messages.options.in_node = {1000, 2, 1};
  all.push_back(by_messages);
  Case split{"split", {}, 1, 1000};
  split.options.max_message_bytes = 5;
  split.options.between_nodes = {};
  all.push_back(split);
  Case collective{"ialltoallv", {}, 0, 100000};
  collective.options.algorithm = "ialltoallv";
  all.push_back(collective);
  collective.name = "ialltoallv_split";
  collective.largest_rows = 1000;
  collective.options.max_message_bytes = 10;
  all.push_back(collective);
  collective.name = "ialltoallv_messages_shorter_than_a_row";
  collective.options.max_message_bytes = 1;
  all.push_back(collective);
  return all;
}

class MpiExchangeTest : public testing::TestWithParam<Case> {
 protected:
  MpiExchangeTest() {
    MpiOptions options = GetParam().options;
    for (int r = 0; GetParam().ranks_per_node > 0 && r < ranks_; ++r)
      options.node_of_rank.push_back(r / GetParam().ranks_per_node);
    exchange_ = make_mpi_exchange(world_, options);
  }

  void run(const TrafficMatrix& rows, std::int64_t row_bytes) {
    const Traffic traffic(*device_, rows, world_.rank(), row_bytes);
    exchange_->all_to_all(device_->comm_stream(), traffic.args());
    device_->synchronize();
    EXPECT_TRUE(traffic.arrived());
  }

  mpi::Communicator world_ = mpi::Communicator::world();
  const int ranks_ = world_.size();
  std::unique_ptr<Exchange> exchange_;
  std::unique_ptr<device::Device> device_ =
      device::make_cpu_device({.threads = 1});  // goes first: its streams use the exchange
};

TEST_P(MpiExchangeTest, MovesRandomTraffic) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE(seed);
    run(random_traffic(seed, ranks_, GetParam().largest_rows), 3);
  }
}

TEST_P(MpiExchangeTest, MovesOneDirectionalTraffic) {
  for (const int to : {0, ranks_ - 1}) run(one_directional(ranks_, to, GetParam().largest_rows / 10), 3);
}

TEST_P(MpiExchangeTest, MovesWholeFragmentsAndOneByteMoreOrLess) {
  const MpiOptions& options = GetParam().options;
  const std::int64_t fragment = std::min(options.between_nodes.fragment_bytes, options.max_message_bytes);
  for (const std::int64_t fragments : {1, 2, 3})
    for (const std::int64_t more : {-1, 0, 1}) run(uniform_traffic(ranks_, fragments * fragment + more + 1), 1);
}

TEST_P(MpiExchangeTest, FollowsOneAnotherWithoutABarrier) {
  std::vector<Traffic> traffic;
  traffic.reserve(8);
  for (unsigned i = 0; i < 8; ++i)
    traffic.emplace_back(*device_, random_traffic(100 + i, ranks_, GetParam().largest_rows / 4), world_.rank(), 3, i);
  for (const Traffic& one : traffic) exchange_->all_to_all(device_->comm_stream(), one.args());
  device_->synchronize();
  for (const Traffic& one : traffic) EXPECT_TRUE(one.arrived());
  const Progress progress = exchange_->progress();
  EXPECT_EQ(progress.started, 8);
  EXPECT_EQ(progress.finished, 8);
  EXPECT_TRUE(progress.open.empty());
}

INSTANTIATE_TEST_SUITE_P(Mpi, MpiExchangeTest, testing::ValuesIn(cases()),
                         [](const auto& of) { return of.param.name; });

TEST(MakeMpiExchange, RefusesWhatItDoesNotKnow) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto code_with = [&](const MpiOptions& options) { return code_of([&] { make_mpi_exchange(world, options); }); };
  MpiOptions options;
  options.algorithm = "magic";
  EXPECT_EQ(code_with(options), core::ExitCode::usage);
  options = {};
  options.between_nodes.fragment_bytes = -1;
  EXPECT_EQ(code_with(options), core::ExitCode::usage);
  options = {};
  options.in_node.in_flight = -1;
  EXPECT_EQ(code_with(options), core::ExitCode::usage);
  options = {};
  options.between_nodes.ahead = 0;
  EXPECT_EQ(code_with(options), core::ExitCode::usage);
  for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1} << 31}) {
    options = {};
    options.max_message_bytes = bytes;
    EXPECT_EQ(code_with(options), core::ExitCode::usage);
  }
}

class ForeignStream : public device::Stream {};

TEST(MpiExchange, RefusesAStreamOfAnotherDevice) {
  const auto exchange = make_mpi_exchange(mpi::Communicator::world(), {});
  ForeignStream stream;
  EXPECT_EQ(code_of([&] { exchange->all_to_all(stream, {}); }), core::ExitCode::unsupported);
}

TEST(MpiExchange, ReportsAMessageOfTheWrongLength) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 2) GTEST_SKIP() << "needs a sender and a receiver";
  for (const auto& [direct, expected] : {std::pair{true, 1}, {true, 3}, {false, 1}, {false, 3}}) {
    MpiOptions options;
    options.direct_in_node = direct;
    const auto exchange = make_mpi_exchange(world, options);
    const auto device = device::make_cpu_device({.threads = 1});
    TrafficMatrix rows(world.size(), world.size());
    rows(0, 1) = world.rank() == 1 ? expected : 2;
    const Traffic traffic(*device, rows, world.rank(), 4);
    exchange->all_to_all(device->comm_stream(), traffic.args());
    EXPECT_EQ(code_of([&] { device->synchronize(); }),
              world.rank() == 1 ? core::ExitCode::communication : core::ExitCode::ok);
  }
}

TEST(MpiExchange, SendsNoMoreThanItsStepAllowsToOneThatIsNotThere) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 2) GTEST_SKIP() << "needs a receiver";
  MpiOptions options;
  options.between_nodes = {1000, 1, 2};
  for (int rank = 0; rank < world.size(); ++rank) options.node_of_rank.push_back(rank);
  const auto exchange = make_mpi_exchange(world, options);
  const auto device = device::make_cpu_device({.threads = 1});
  TrafficMatrix rows(world.size(), world.size());
  rows(0, 1) = 10000;
  const Traffic traffic(*device, rows, world.rank(), 1);
  if (world.rank() == 1) world.barrier();  // comes late
  exchange->all_to_all(device->comm_stream(), traffic.args());
  if (world.rank() == 0) {
    const auto left = [&] {
      const Progress progress = exchange->progress();
      return progress.open.empty() ? -1 : progress.open[0].bytes_to_send;
    };
    for (int i = 0; left() != 8000 && i < 1000; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(left(), 8000);
  }
  if (world.rank() != 1) world.barrier();
  device->synchronize();
  EXPECT_TRUE(traffic.arrived());
}

}  // namespace
}  // namespace ep::exchange

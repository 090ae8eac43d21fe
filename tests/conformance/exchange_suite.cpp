#include "exchange_suite.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include "tests/mpi/traffic.hpp"

namespace ep::exchange {
namespace {

TEST_P(ExchangeSuite, SaysWhatItIs) {
  EXPECT_FALSE(exchange_->name().empty());
  EXPECT_FALSE(exchange_->algorithm().empty());
}

TEST_P(ExchangeSuite, EveryRankGetsWhatTheOthersSentAndNothingElse) {
  for (const std::int64_t row_bytes : {16, 2048}) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const Traffic traffic(*device_, random_traffic(seed, ranks_, 2000), rank_, row_bytes);
      exchange_->all_to_all(device_->comm_stream(), traffic.args());
      device_->synchronize();
      EXPECT_TRUE(traffic.arrived()) << row_bytes << " bytes a row, seed " << seed;
    }
  }
}

TEST_P(ExchangeSuite, UniformOneSidedAndEmptyTraffic) {
  for (const TrafficMatrix& rows : {uniform_traffic(ranks_, 500), one_directional(ranks_, ranks_ - 1, 3000),
                                    one_directional(ranks_, 0, 1), TrafficMatrix(ranks_, ranks_)}) {
    const Traffic traffic(*device_, rows, rank_, 64);
    exchange_->all_to_all(device_->comm_stream(), traffic.args());
    device_->synchronize();
    EXPECT_TRUE(traffic.arrived());
  }
}

TEST_P(ExchangeSuite, TablesMayGoOnceTheCallReturns) {
  const Traffic traffic(*device_, uniform_traffic(ranks_, 100), rank_, 64);
  {
    AllToAll args = traffic.args();
    std::vector<std::int64_t> send_rows(args.send_rows.begin(), args.send_rows.end());
    std::vector<std::int64_t> recv_rows(args.recv_rows.begin(), args.recv_rows.end());
    args.send_rows = send_rows;
    args.recv_rows = recv_rows;
    exchange_->all_to_all(device_->comm_stream(), args);
    send_rows.assign(send_rows.size(), -1);
    recv_rows.assign(recv_rows.size(), -1);
  }
  device_->synchronize();
  EXPECT_TRUE(traffic.arrived());
}

TEST_P(ExchangeSuite, ALateRankDelaysButBreaksNothing) {
  for (int late = 0; late < ranks_; ++late) {
    const Traffic traffic(*device_, random_traffic(static_cast<std::uint64_t>(50 + late), ranks_, 3000), rank_, 16);
    if (rank_ == late) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    exchange_->all_to_all(device_->comm_stream(), traffic.args());
    device_->synchronize();
    EXPECT_TRUE(traffic.arrived());
  }
}

/// What a layer does: compute fills the send buffer, the exchange waits for it, compute waits for the exchange.
TEST_P(ExchangeSuite, TakesItsPlaceInTheOrderOfStreams) {
  constexpr std::int64_t kBytes = 1 << 20;  // for each peer: long enough for a missing order to show
  constexpr int kRepeats = 5;
  const std::vector<std::int64_t> rows(static_cast<std::size_t>(ranks_), kBytes);
  std::vector<std::int64_t> offsets;
  for (int r = 0; r < ranks_; ++r) offsets.push_back(r * kBytes);
  const device::Buffer send = device_->allocate(ranks_ * kBytes, device::MemoryUse::send);
  const device::Buffer recv = device_->allocate(ranks_ * kBytes, device::MemoryUse::receive);
  const auto filled = device_->create_event();
  const auto arrived = device_->create_event();
  std::vector<std::byte> last(static_cast<std::size_t>(kRepeats * ranks_));
  device::Stream& compute = device_->compute_stream();
  for (int i = 0; i < kRepeats; ++i) {
    device_->fill(compute, send.data(), 10 * rank_ + i + 1, send.size_bytes());
    device_->record(*filled, compute);
    device_->wait(device_->comm_stream(), *filled);
    exchange_->all_to_all(device_->comm_stream(), {send.data(), recv.data(), rows, offsets, rows, offsets, 1});
    device_->record(*arrived, device_->comm_stream());
    device_->wait(compute, *arrived);
    for (int r = 0; r < ranks_; ++r)
      device_->copy(compute, &last[static_cast<std::size_t>(i * ranks_ + r)], recv.data() + (r + 1) * kBytes - 1, 1);
    device_->fill(compute, recv.data(), 0, recv.size_bytes());
    // The next exchange writes the receive buffer, so it comes after the reading.
    device_->record(*filled, compute);
    device_->wait(device_->comm_stream(), *filled);
  }
  device_->synchronize();
  for (int i = 0; i < kRepeats; ++i) {
    for (int r = 0; r < ranks_; ++r) {
      if (r == rank_) continue;
      EXPECT_EQ(std::to_integer<int>(last[static_cast<std::size_t>(i * ranks_ + r)]), 10 * r + i + 1)
          << "repeat " << i << ", from rank " << r;
    }
  }
}

TEST_P(ExchangeSuite, CountsWhatItHasDone) {
  const std::int64_t before = exchange_->progress().started;
  const Traffic traffic(*device_, uniform_traffic(ranks_, 10), rank_, 64);
  for (int i = 1; i <= 3; ++i) {
    exchange_->all_to_all(device_->comm_stream(), traffic.args());
    device_->synchronize();
    const Progress progress = exchange_->progress();
    EXPECT_EQ(progress.started, before + i);
    EXPECT_EQ(progress.finished, before + i);
    EXPECT_TRUE(progress.open.empty());
  }
}

TEST_P(ExchangeSuite, CountsComeFromEveryRank) {
  constexpr int kPerPeer = 3;
  std::vector<std::int32_t> send;
  std::vector<std::int32_t> expected;
  for (int peer = 0; peer < ranks_; ++peer)
    for (int i = 0; i < kPerPeer; ++i) {
      send.push_back(10000 * rank_ + 100 * peer + i);
      expected.push_back(10000 * peer + 100 * rank_ + i);
    }
  std::vector<std::int32_t> recv(send.size(), -1);
  exchange_->exchange_counts(send, recv);
  EXPECT_EQ(recv, expected);
}

TEST_P(ExchangeSuite, CountsPassWhileRowsAreUnderWay) {
  std::vector<Traffic> traffic;
  traffic.reserve(4);
  for (unsigned i = 0; i < 4; ++i) traffic.emplace_back(*device_, random_traffic(70 + i, ranks_, 5000), rank_, 64, i);
  const std::vector<std::int32_t> send(static_cast<std::size_t>(ranks_), rank_);
  for (const Traffic& one : traffic) {
    exchange_->all_to_all(device_->comm_stream(), one.args());
    std::vector<std::int32_t> recv(send.size(), -1);
    exchange_->exchange_counts(send, recv);
    for (int r = 0; r < ranks_; ++r) EXPECT_EQ(recv[static_cast<std::size_t>(r)], r);
  }
  device_->synchronize();
  for (const Traffic& one : traffic) EXPECT_TRUE(one.arrived());
}

}  // namespace
}  // namespace ep::exchange

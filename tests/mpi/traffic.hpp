#pragma once
#include <cstdint>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "core/matrix.hpp"
#include "core/random.hpp"
#include "device/device.hpp"
#include "exchange/exchange.hpp"

namespace ep::exchange {

/// rows(from, to); the diagonal stands for rows that stay and are not moved.
using TrafficMatrix = core::Matrix<std::int64_t>;

/// One rank's buffers and tables for one exchange, filled with bytes that tell sender, receiver and place apart.
/// Segments lie in an order of their own with gaps between them, and whatever must not be written holds a mark.
class Traffic {
 public:
  Traffic(device::Device& device, const TrafficMatrix& rows, int rank, std::int64_t row_bytes, unsigned salt = 0)
      : device_(device), rank_(rank), row_bytes_(row_bytes), salt_(salt) {
    const auto ranks = static_cast<int>(rows.rows());
    send_ = lay_out(rows.row(rank));
    const TrafficMatrix transposed = core::transpose(rows);
    recv_ = lay_out(transposed.row(rank));
    const std::vector<std::byte> marks(static_cast<std::size_t>(recv_.total * row_bytes), kMark);
    std::vector<std::byte> filled(static_cast<std::size_t>(send_.total * row_bytes), kMark);
    for (int to = 0; to < ranks; ++to) write(filled, send_, rank, to);
    send_buffer_ = upload(filled, device::MemoryUse::send);
    recv_buffer_ = upload(marks, device::MemoryUse::receive);
    expected_ = marks;
    for (int from = 0; from < ranks; ++from)
      if (from != rank) write(expected_, recv_, from, rank);
  }

  [[nodiscard]] AllToAll args() const {
    return {send_buffer_.data(), recv_buffer_.data(), send_.rows, send_.offsets, recv_.rows, recv_.offsets, row_bytes_};
  }

  /// Whether the receive buffer holds every row that should have come and nothing else. @pre the device is idle
  [[nodiscard]] testing::AssertionResult arrived() const {
    std::vector<std::byte> got(expected_.size());
    device_.copy(device_.comm_stream(), got.data(), recv_buffer_.data(), static_cast<std::int64_t>(got.size()));
    device_.synchronize();
    for (std::size_t i = 0; i < got.size(); ++i)
      if (got[i] != expected_[i])
        return testing::AssertionFailure()
               << "rank " << rank_ << ": byte " << i << " of " << got.size() << " is " << std::to_integer<int>(got[i])
               << ", not " << std::to_integer<int>(expected_[i]);
    return testing::AssertionSuccess();
  }

 private:
  static constexpr std::byte kMark{0xEE};

  struct Side {
    std::vector<std::int64_t> rows;
    std::vector<std::int64_t> offsets;
    std::int64_t total = 0;
  };

  /// Segments from the last rank to the first, a row apart.
  static Side lay_out(std::span<const std::int64_t> rows) {
    Side side{{rows.begin(), rows.end()}, std::vector<std::int64_t>(rows.size()), 1};
    for (std::size_t r = rows.size(); r-- > 0;) {
      side.offsets[r] = side.total;
      side.total += rows[r] + 1;
    }
    return side;
  }

  void write(std::vector<std::byte>& bytes, const Side& side, int from, int to) const {
    const auto peer = static_cast<std::size_t>(from == rank_ ? to : from);
    const std::int64_t begin = side.offsets[peer] * row_bytes_;
    for (std::int64_t i = 0; i < side.rows[peer] * row_bytes_; ++i) {
      const auto place = static_cast<unsigned>(i);
      const unsigned value = place * 7U + (place >> 8) * 13U + static_cast<unsigned>(from * 31 + to * 57) + salt_;
      bytes[static_cast<std::size_t>(begin + i)] = static_cast<std::byte>(value);
    }
  }

  device::Buffer upload(const std::vector<std::byte>& bytes, device::MemoryUse use) const {
    const auto size = static_cast<std::int64_t>(bytes.size());
    device::Buffer buffer = device_.allocate(size, use);
    device_.copy(device_.comm_stream(), buffer.data(), bytes.data(), size);
    device_.synchronize();
    return buffer;
  }

  device::Device& device_;
  int rank_;
  std::int64_t row_bytes_;
  unsigned salt_;
  Side send_;
  Side recv_;
  device::Buffer send_buffer_;
  device::Buffer recv_buffer_;
  std::vector<std::byte> expected_;
};

/// Random rows: about a third of the pairs exchange nothing, one in ten a hundred times as much as the others.
inline TrafficMatrix random_traffic(std::uint64_t seed, int ranks, std::int64_t most) {
  core::Random random(seed, 17);
  TrafficMatrix rows(ranks, ranks);
  for (std::int64_t& count : rows.values()) {
    const std::uint64_t kind = random.below(30);
    const auto limit = static_cast<std::uint64_t>(kind < 3 ? most : most / 100 + 1);
    count = kind >= 20 ? 0 : static_cast<std::int64_t>(random.below(limit + 1));
  }
  return rows;
}

inline TrafficMatrix uniform_traffic(int ranks, std::int64_t count) {
  return TrafficMatrix(ranks, ranks, count);
}

/// Everyone sends to rank `to` alone; nobody else gets anything.
inline TrafficMatrix one_directional(int ranks, int to, std::int64_t count) {
  TrafficMatrix rows(ranks, ranks);
  for (int from = 0; from < ranks; ++from) rows(from, to) = count;
  return rows;
}

/// The code of what `work` throws; ok if nothing.
template <class Work>
core::ExitCode code_of(Work work) {
  try {
    work();
  } catch (const core::Error& error) {
    return error.code();
  }
  return core::ExitCode::ok;
}

}  // namespace ep::exchange

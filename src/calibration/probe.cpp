#include "calibration/probe.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/median.hpp"

namespace ep::calibration {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Tables {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> offsets;
};

/// Byte counts of one side and where they lie one after another.
Tables lay_out(const core::Matrix<std::int64_t>& bytes, int rank, bool sending) {
  Tables tables;
  std::int64_t offset = 0;
  for (int peer = 0; peer < static_cast<int>(bytes.rows()); ++peer) {
    const std::int64_t count = peer == rank ? 0 : sending ? bytes(rank, peer) : bytes(peer, rank);
    tables.rows.push_back(count);
    tables.offsets.push_back(offset);
    offset += count;
  }
  return tables;
}

bool between(const core::Matrix<std::int64_t>& bytes, std::int64_t a, std::int64_t b) {
  return a != b && bytes(a, b) + bytes(b, a) > 0;
}

}  // namespace

ExchangeProbe::ExchangeProbe(device::Device& device, exchange::Exchange& exchange,
                             const mpi::Communicator& communicator, const mpi::ClockMap& clock, std::int64_t max_bytes)
    : device_(device),
      exchange_(exchange),
      communicator_(communicator),
      clock_(clock),
      send_(device.allocate(max_bytes, device::MemoryUse::exchange)),
      recv_(device.allocate(max_bytes, device::MemoryUse::exchange)) {
  // Pages never written are all one page of zeros: copying from them would be too fast.
  device.fill(device.compute_stream(), send_.data(), 1, max_bytes);
  device.fill(device.compute_stream(), recv_.data(), 1, max_bytes);
  device.synchronize();
}

std::vector<ExchangeProbe::Pass> ExchangeProbe::passes(const core::Matrix<std::int64_t>& bytes, int repeats) {
  const Tables send = lay_out(bytes, communicator_.rank(), true);
  const Tables recv = lay_out(bytes, communicator_.rank(), false);
  const auto start = device_.create_event();
  const auto end = device_.create_event();
  std::vector<Pass> passes;
  for (int i = 0; i <= repeats; ++i) {
    communicator_.barrier();
    device_.record(*start, device_.comm_stream());
    exchange_.all_to_all(device_.comm_stream(),
                         {send_.data(), recv_.data(), send.rows, send.offsets, recv.rows, recv.offsets, 1});
    device_.record(*end, device_.comm_stream());
    device_.synchronize();
    const double times[] = {device_.time_us(*start), device_.time_us(*end)};
    const double own[] = {times[0] + clock_.offset_us(times[0]), times[1] + clock_.offset_us(times[1])};
    const std::vector<double> all = communicator_.gather_all(std::span<const double>(own));
    Pass pass;
    for (std::size_t at = 0; at < all.size(); at += 2) {
      pass.starts_us.push_back(all[at]);
      pass.ends_us.push_back(all[at + 1]);
    }
    if (i > 0) passes.push_back(std::move(pass));
  }
  return passes;
}

// Ranks without traffic do not count: one that leaves the barrier late would make an exchange of others look short.
double ExchangeProbe::time_us(const core::Matrix<std::int64_t>& bytes, int repeats) {
  std::vector<std::size_t> takes_part;
  for (std::int64_t rank = 0; rank < bytes.rows(); ++rank) {
    for (std::int64_t peer = 0; peer < bytes.rows(); ++peer) {
      if (!between(bytes, rank, peer)) continue;
      takes_part.push_back(static_cast<std::size_t>(rank));
      break;
    }
  }
  std::vector<double> times;
  for (const Pass& pass : passes(bytes, repeats)) {
    double start = -kNever;
    double end = -kNever;
    for (const std::size_t rank : takes_part) {
      start = std::max(start, pass.starts_us[rank]);
      end = std::max(end, pass.ends_us[rank]);
    }
    times.push_back(takes_part.empty() ? 0 : end - start);
  }
  return core::median(std::move(times));
}

std::vector<double> ExchangeProbe::rank_times_us(const core::Matrix<std::int64_t>& bytes, int repeats) {
  const std::vector<Pass> all = passes(bytes, repeats);
  std::vector<double> medians;
  for (std::int64_t rank = 0; rank < bytes.rows(); ++rank) {
    std::vector<double> times;
    for (const Pass& pass : all) {
      double start = pass.starts_us[static_cast<std::size_t>(rank)];
      for (std::int64_t peer = 0; peer < bytes.rows(); ++peer) {
        if (between(bytes, rank, peer)) start = std::max(start, pass.starts_us[static_cast<std::size_t>(peer)]);
      }
      times.push_back(pass.ends_us[static_cast<std::size_t>(rank)] - start);
    }
    medians.push_back(core::median(std::move(times)));
  }
  return medians;
}

}  // namespace ep::calibration

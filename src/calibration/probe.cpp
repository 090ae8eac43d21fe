#include "calibration/probe.hpp"

#include <algorithm>
#include <vector>

#include "core/median.hpp"

namespace ep::calibration {

namespace {

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

std::vector<std::vector<double>> ExchangeProbe::samples(const core::Matrix<std::int64_t>& bytes, int repeats) {
  const Tables send = lay_out(bytes, communicator_.rank(), true);
  const Tables recv = lay_out(bytes, communicator_.rank(), false);
  const auto start = device_.create_event();
  const auto end = device_.create_event();
  std::vector<std::vector<double>> samples;
  for (int i = 0; i <= repeats; ++i) {
    communicator_.barrier();
    device_.record(*start, device_.comm_stream());
    exchange_.all_to_all(device_.comm_stream(),
                         {send_.data(), recv_.data(), send.rows, send.offsets, recv.rows, recv.offsets, 1});
    device_.record(*end, device_.comm_stream());
    device_.synchronize();
    const double started = device_.time_us(*start);
    const double ended[] = {device_.time_us(*end) + clock_.offset_us(device_.time_us(*end))};
    const double last_start = communicator_.max(started + clock_.offset_us(started));
    std::vector<double> ranks = communicator_.gather_all(std::span<const double>(ended));
    for (double& time : ranks) time -= last_start;
    if (i > 0) samples.push_back(std::move(ranks));
  }
  return samples;
}

double ExchangeProbe::time_us(const core::Matrix<std::int64_t>& bytes, int repeats) {
  std::vector<double> slowest;
  for (const std::vector<double>& ranks : samples(bytes, repeats))
    slowest.push_back(*std::max_element(ranks.begin(), ranks.end()));
  return core::median(std::move(slowest));
}

std::vector<double> ExchangeProbe::rank_times_us(const core::Matrix<std::int64_t>& bytes, int repeats) {
  const auto all = samples(bytes, repeats);
  std::vector<double> medians;
  for (std::size_t rank = 0; rank < all.front().size(); ++rank) {
    std::vector<double> times;
    for (const std::vector<double>& ranks : all) times.push_back(ranks[rank]);
    medians.push_back(core::median(std::move(times)));
  }
  return medians;
}

}  // namespace ep::calibration

#include "calibration/probe.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ep::calibration {

namespace {

constexpr int kFew = 3;
constexpr double kNever = -std::numeric_limits<double>::infinity();

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

/// One byte from each that will receive to the one it will receive from.
core::Matrix<std::int64_t> tokens_of(const core::Matrix<std::int64_t>& bytes) {
  core::Matrix<std::int64_t> tokens = core::transpose(bytes);
  for (std::int64_t from = 0; from < tokens.rows(); ++from) {
    for (std::int64_t to = 0; to < tokens.rows(); ++to) tokens(from, to) = std::min<std::int64_t>(tokens(from, to), 1);
  }
  return tokens;
}

}  // namespace

ExchangeProbe::ExchangeProbe(device::Device& device, exchange::Exchange& exchange,
                             const mpi::Communicator& communicator, const mpi::ClockMap& clock,
                             const placement::Topology& topology, std::int64_t max_bytes)
    : device_(device),
      exchange_(exchange),
      communicator_(communicator),
      clock_(clock),
      topology_(topology),
      send_(device.allocate(max_bytes, device::MemoryUse::send)),
      recv_(device.allocate(max_bytes, device::MemoryUse::receive)) {
  // Pages never written are all one page of zeros: copying from them would be too fast.
  device.fill(device.compute_stream(), send_.data(), 1, max_bytes);
  device.fill(device.compute_stream(), recv_.data(), 1, max_bytes);
  device.synchronize();
}

/// When the last of what `rank` receives can begin; never, when it receives nothing.
double ExchangeProbe::begin_us(const core::Matrix<std::int64_t>& bytes, std::int64_t rank, const Pass& pass) const {
  double last = kNever;
  for (std::int64_t from = 0; from < bytes.rows(); ++from) {
    if (from == rank || bytes(from, rank) == 0) continue;
    last = std::max(last, pass.starts_us[static_cast<std::size_t>(from)]);
    if (exchange_.reads_senders_memory() && topology_.same_node(static_cast<int>(from), static_cast<int>(rank)))
      last = std::max(last, pass.starts_us[static_cast<std::size_t>(rank)]);
  }
  return last;
}

/// Some 100 us of work.
void ExchangeProbe::busy() {
  constexpr std::int64_t kBytes = 2 << 20;
  device_.fill(device_.comm_stream(), recv_.data(), 1, std::min(kBytes, recv_.size_bytes()));
}

/// Before its data, a rank awaits a token of each that it sends to, so that what is timed has somebody to receive it.
/// The stream is busy before that until the host has enqueued the rest, and once more until the other ranks have their
/// tokens too: over TCP, Open MPI was seen to keep a rank that awaits something until the first message that comes in
/// meanwhile is whole, for milliseconds. After a barrier alone an exchange therefore seemed to take no time.
std::vector<ExchangeProbe::Pass> ExchangeProbe::passes(const core::Matrix<std::int64_t>& bytes, int repeats) {
  const core::Matrix<std::int64_t> tokens = tokens_of(bytes);
  const Tables tables[] = {lay_out(tokens, communicator_.rank(), true), lay_out(tokens, communicator_.rank(), false),
                           lay_out(bytes, communicator_.rank(), true), lay_out(bytes, communicator_.rank(), false)};
  device::Stream& stream = device_.comm_stream();
  const auto exchange = [&](const Tables& send, const Tables& recv) {
    exchange_.all_to_all(stream, {send_.data(), recv_.data(), send.rows, send.offsets, recv.rows, recv.offsets, 1});
  };
  const auto start = device_.create_event();
  const auto end = device_.create_event();
  std::vector<Pass> passes;
  for (int i = 0; i <= repeats; ++i) {
    communicator_.barrier();
    busy();
    exchange(tables[0], tables[1]);
    busy();
    device_.record(*start, stream);
    exchange(tables[2], tables[3]);
    device_.record(*end, stream);
    device_.synchronize();
    const double times[] = {device_.time_us(*start), device_.time_us(*end)};
    const double own[] = {times[0] + clock_.offset_us(times[0]), times[1] + clock_.offset_us(times[1])};
    const std::vector<double> all = communicator_.gather_all(std::span<const double>(own));
    Pass pass;
    for (std::size_t at = 0; at < all.size(); at += 2) {
      pass.starts_us.push_back(all[at]);
      pass.ends_us.push_back(all[at + 1]);
    }
    // What goes first finds caches cold; of what is too long to repeat, that does not matter.
    if (i > 0 || repeats < kFew) passes.push_back(std::move(pass));
  }
  return passes;
}

std::vector<double> ExchangeProbe::rank_times_us(const core::Matrix<std::int64_t>& bytes, int repeats) {
  const std::vector<Pass> all = passes(bytes, repeats);
  std::vector<double> short_ones;
  for (std::int64_t rank = 0; rank < bytes.rows(); ++rank) {
    std::vector<double> times;
    for (const Pass& pass : all)
      times.push_back(pass.ends_us[static_cast<std::size_t>(rank)] - begin_us(bytes, rank, pass));
    const auto shortest = times.begin() + std::ssize(times) / 8;
    std::nth_element(times.begin(), shortest, times.end());
    short_ones.push_back(std::isfinite(*shortest) ? *shortest : 0);
  }
  return short_ones;
}

double ExchangeProbe::time_us(const core::Matrix<std::int64_t>& bytes, int repeats) {
  std::vector<double> times;
  for (const Pass& pass : passes(bytes, repeats)) {
    double start = kNever;
    double end = kNever;
    for (std::int64_t rank = 0; rank < bytes.rows(); ++rank) {
      const double begin = begin_us(bytes, rank, pass);
      start = std::max(start, begin);
      if (begin > kNever) end = std::max(end, pass.ends_us[static_cast<std::size_t>(rank)]);
    }
    times.push_back(start > kNever ? end - start : 0);
  }
  // The lower of two in the middle: others' load makes times longer, nothing makes them shorter.
  const auto middle = times.begin() + (std::ssize(times) - 1) / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace ep::calibration

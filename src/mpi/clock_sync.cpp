#include "mpi/clock_sync.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <random>
#include <unistd.h>

#include "core/clock.hpp"
#include "mpi/topology.hpp"

namespace ep::mpi {
namespace {

// Enough for one to pass undisturbed on a busy machine; over a 100 us network they take 5 ms.
constexpr int kRoundTrips = 50;

ClockSample ask_rank_zero(const Communicator& communicator, const ClockSource& clock) {
  ClockSample best;
  for (int i = 0; i < kRoundTrips; ++i) {
    double theirs = 0;
    const double begin = clock.now_us();
    check_mpi(MPI_Send(nullptr, 0, MPI_BYTE, 0, 0, communicator.get()));
    check_mpi(MPI_Recv(&theirs, 1, MPI_DOUBLE, 0, 0, communicator.get(), MPI_STATUS_IGNORE));
    const double end = clock.now_us();
    const double middle = begin + (end - begin) / 2;
    if (i == 0 || (end - begin) / 2 < best.uncertainty_us) best = {middle, theirs - middle, (end - begin) / 2};
  }
  return best;
}

void answer(const Communicator& communicator, const ClockSource& clock, int rank) {
  for (int i = 0; i < kRoundTrips; ++i) {
    check_mpi(MPI_Recv(nullptr, 0, MPI_BYTE, rank, 0, communicator.get(), MPI_STATUS_IGNORE));
    const double now = clock.now_us();
    check_mpi(MPI_Send(&now, 1, MPI_DOUBLE, rank, 0, communicator.get()));
  }
}

}  // namespace

ClockSource host_clock() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::error_code failed;
  const auto time_namespace = std::filesystem::read_symlink("/proc/self/ns/time", failed);
  if (boot.empty() || failed) {
    std::random_device random;
    return {fmt::format("{} {} {} {}", host_name(), getpid(), random(), random()), core::now_us};
  }
  return {boot + " " + time_namespace.string(), core::now_us};
}

double ClockMap::offset_us(double at_us) const {
  const double span = after_.at_us - before_.at_us;
  if (span <= 0) return before_.offset_us;
  return before_.offset_us + (at_us - before_.at_us) / span * (after_.offset_us - before_.offset_us);
}

double ClockMap::uncertainty_us() const {
  return std::max(before_.uncertainty_us, after_.uncertainty_us);
}

ClockSync::ClockSync(const Communicator& communicator, ClockSource clock)
    : communicator_(communicator.duplicate()), clock_(std::move(clock)) {
  const std::vector<std::string> identities = communicator_.gather_all(clock_.identity);
  for (const std::string& identity : identities) {
    const auto first = std::find(identities.begin(), identities.end(), identity);
    leader_of_rank_.push_back(static_cast<int>(first - identities.begin()));
  }
}

bool ClockSync::shared() const {
  return std::all_of(leader_of_rank_.begin(), leader_of_rank_.end(), [](int leader) { return leader == 0; });
}

ClockSample ClockSync::measure() const {
  if (shared()) return {clock_.now_us(), 0, 0};
  ClockSample sample;
  // One leader after the other: rank 0 answering two at once would lengthen both round trips.
  for (int rank = 1; rank < communicator_.size(); ++rank) {
    if (leader_of_rank_[static_cast<std::size_t>(rank)] != rank) continue;
    if (communicator_.rank() == 0) answer(communicator_, clock_, rank);
    if (communicator_.rank() == rank) sample = ask_rank_zero(communicator_, clock_);
  }
  const std::array<double, 3> mine{sample.at_us, sample.offset_us, sample.uncertainty_us};
  const std::vector<double> all = communicator_.gather_all(mine);
  const auto leader = static_cast<std::size_t>(leader_of_rank_[static_cast<std::size_t>(communicator_.rank())]);
  if (leader == 0) return {clock_.now_us(), 0, 0};
  return {all[3 * leader], all[3 * leader + 1], all[3 * leader + 2]};
}

}  // namespace ep::mpi

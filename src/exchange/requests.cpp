#include "exchange/requests.hpp"

#include <algorithm>

#include "core/clock.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

void Requests::reset(std::size_t count) {
  expected_us_ = 0;
  requests_.assign(count, MPI_REQUEST_NULL);
  statuses_.resize(count);
  places_.resize(count);
}

void Requests::check(int code, std::size_t statuses) const {
  if (code == MPI_ERR_IN_STATUS) {
    for (std::size_t i = 0; i < statuses; ++i)
      if (statuses_[i].MPI_ERROR != MPI_ERR_PENDING) mpi::check_mpi(statuses_[i].MPI_ERROR);
  }
  mpi::check_mpi(code);
}

int Requests::poll() {
  int count = 0;
  const int code =
      MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, places_.data(), statuses_.data());
  check(code, static_cast<std::size_t>(std::max(count, 0)));
  return count;
}

std::span<const Requests::Finished> Requests::all_within(double poll_us) {
  finished_.clear();
  for (std::size_t place = 0; place < requests_.size(); ++place)
    if (!empty(place)) finished_.push_back({place, {}});
  const double until_us = core::now_us() + poll_us;
  int all = 0;
  do {
    check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &all, statuses_.data()), statuses_.size());
  } while (all == 0 && core::now_us() < until_us);
  if (all == 0) finished_.clear();
  for (Finished& one : finished_) one.status = statuses_[one.place];
  return finished_;
}

std::span<const Requests::Finished> Requests::wait(const Patience& patience) {
  Backoff backoff(patience, expected_us_);
  int count = poll();
  for (; count == 0; count = poll()) backoff.pause();
  if (patience.learns) expected_us_ = backoff.learned_us();
  finished_.clear();
  if (count == MPI_UNDEFINED) return {};  // no request is left
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    finished_.push_back({static_cast<std::size_t>(places_[i]), statuses_[i]});
  return finished_;
}

}  // namespace ep::exchange

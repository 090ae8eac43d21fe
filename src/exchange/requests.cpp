#include "exchange/requests.hpp"

#include "mpi/communicator.hpp"

namespace ep::exchange {

void Requests::reset(std::size_t count) {
  expected_us_ = 0;
  requests_.assign(count, MPI_REQUEST_NULL);
  statuses_.resize(count);
  places_.resize(count);
}

int Requests::test() {
  int count = 0;
  const int code =
      MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, places_.data(), statuses_.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (int i = 0; i < count; ++i) mpi::check_mpi(statuses_[static_cast<std::size_t>(i)].MPI_ERROR);
  }
  mpi::check_mpi(code);
  return count;
}

std::span<const Requests::Finished> Requests::collect(int count) {
  finished_.clear();
  if (count == MPI_UNDEFINED) return {};  // no request is left
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    finished_.push_back({static_cast<std::size_t>(places_[i]), statuses_[i]});
  return finished_;
}

std::span<const Requests::Finished> Requests::poll() {
  return collect(test());
}

std::span<const Requests::Finished> Requests::wait(const Patience& patience) {
  Backoff backoff(patience, expected_us_);
  int count = test();
  for (; count == 0; count = test()) backoff.pause();
  if (patience.learns) expected_us_ = backoff.learned_us();
  return collect(count);
}

}  // namespace ep::exchange

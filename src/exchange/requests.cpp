#include "exchange/requests.hpp"

#include "exchange/backoff.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

void Requests::reset(std::size_t count) {
  requests_.assign(count, MPI_REQUEST_NULL);
  statuses_.resize(count);
  finished_.resize(count);
}

int Requests::poll() {
  int count = 0;
  const int code =
      MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, finished_.data(), statuses_.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (int i = 0; i < count; ++i) mpi::check_mpi(statuses_[static_cast<std::size_t>(i)].MPI_ERROR);
  }
  mpi::check_mpi(code);
  return count;
}

void Requests::note_first_waiting(ProgressRecord& progress, const std::function<int(std::size_t)>& owner) const {
  for (std::size_t place = 0; place < requests_.size(); ++place) {
    if (empty(place)) continue;
    progress.waiting_for(owner(place));
    return;
  }
}

void Requests::drain(ProgressRecord& progress, const std::function<int(std::size_t)>& owner,
                     const std::function<void(std::size_t, const MPI_Status&)>& done) {
  Backoff backoff;
  for (int count = poll(); count != MPI_UNDEFINED; count = poll()) {  // undefined: no request is left
    if (count == 0) {
      if (backoff.sleeping()) note_first_waiting(progress, owner);
      backoff.pause();
      continue;
    }
    backoff.reset();
    for (int i = 0; i < count; ++i)
      done(static_cast<std::size_t>(finished_[static_cast<std::size_t>(i)]), statuses_[static_cast<std::size_t>(i)]);
  }
}

}  // namespace ep::exchange

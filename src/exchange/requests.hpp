#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "exchange/progress_record.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

/// Places for MPI requests, polled together until all are done. Fixed in number, so that a request's place says what
/// it was for.
class Requests {
 public:
  /// Makes `count` empty places. @pre none is in use
  void reset(std::size_t count);
  [[nodiscard]] MPI_Request& operator[](std::size_t place) { return requests_[place]; }
  [[nodiscard]] bool empty(std::size_t place) const { return requests_[place] == MPI_REQUEST_NULL; }

  /// Polls until no place is in use, handing each finished one to `done`, which may start new ones. `owner(place)` is
  /// the rank a request waits for, -1 for no particular one. Throws Error (communication).
  void drain(ProgressRecord& progress, const std::function<int(std::size_t)>& owner,
             const std::function<void(std::size_t, const MPI_Status&)>& done);

 private:
  int poll();
  void note_first_waiting(ProgressRecord& progress, const std::function<int(std::size_t)>& owner) const;
  std::vector<MPI_Request> requests_;
  std::vector<MPI_Status> statuses_;
  std::vector<int> finished_;
};

}  // namespace ep::exchange

#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "exchange/backoff.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

/// Places for MPI requests, polled together. Fixed in number, so that a request's place says what it was for.
class Requests {
 public:
  struct Finished {
    std::size_t place;
    MPI_Status status;
  };

  /// Makes `count` empty places. @pre none is in use
  void reset(std::size_t count);
  [[nodiscard]] MPI_Request& operator[](std::size_t place) { return requests_[place]; }
  [[nodiscard]] bool empty(std::size_t place) const { return requests_[place] == MPI_REQUEST_NULL; }

  /// Blocks until some have finished, whose places are then empty; none when no place was in use. Valid until the next
  /// call. Throws Error (communication).
  std::span<const Finished> wait(const Patience& patience);
  /// The same without blocking: none, too, when none has finished yet.
  std::span<const Finished> poll();

 private:
  double expected_us_ = 0;  // of a wait, since reset
  int test();
  std::span<const Finished> collect(int count);
  std::vector<MPI_Request> requests_;
  std::vector<MPI_Status> statuses_;
  std::vector<int> places_;
  std::vector<Finished> finished_;
};

}  // namespace ep::exchange

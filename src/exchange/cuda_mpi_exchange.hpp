#pragma once
#include <exception>
#include <functional>
#include <mutex>

#include "device/cuda_stream.hpp"
#include "exchange/over_mpi.hpp"

namespace ep::exchange {

/// `options` for rows in the GPU's memory or pinned for it, neither of which another process can map.
MpiOptions by_messages(MpiOptions options);

/// What the exchanges of the cuda device over MPI have in common: what goes wrong on a thread that cannot throw.
class CudaMpiExchange : public OverMpi {
 public:
  using OverMpi::OverMpi;

 protected:
  /// The stream that `comm` is, whose device's waits from now on throw what goes wrong here. Throws Error (unsupported)
  /// for another device's stream, and during a capture.
  cudaStream_t watched(device::Stream& comm);
  /// Runs `work` on a thread that cannot throw: what it throws, the device's waits do. Nothing once that has happened:
  /// the job is ending.
  void attempt(const std::function<void()>& work) noexcept;

 private:
  void rethrow() const;

  mutable std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace ep::exchange

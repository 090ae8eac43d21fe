// The emulator stands between the program and MPI (through MPI's profiling interface) for two reasons: streams must
// move on while the host waits there, and buffers in emulated memory must be checked.
#pragma once
#include <cstddef>
#include <vector>

#include <mpi.h>

#include "cuda_emulator/checker/checker.hpp"

namespace ep::emulator {

/// Streams run freely while this lives.
class HostInMpi {
 public:
  HostInMpi();
  ~HostInMpi();
  HostInMpi(const HostInMpi&) = delete;
  HostInMpi& operator=(const HostInMpi&) = delete;

 private:
  bool counted_ = false;
};

/// Lets streams move a step: called by what a program calls again and again until a message has come.
void host_polls();

/// Memory that an MPI call reads or writes.
struct MpiBuffer {
  const void* data = nullptr;
  std::size_t bytes = 0;
  Access access = Access::read;
};

using MpiBuffers = std::vector<MpiBuffer>;

MpiBuffer mpi_buffer(const void* data, int count, MPI_Datatype type, Access access);
/// One buffer for each peer; none for MPI_IN_PLACE.
void append_per_peer(MpiBuffers& buffers, const void* data, const int counts[], const int displacements[],
                     MPI_Datatype type, MPI_Comm communicator, Access access);

/// The host touches the buffers now. Fails for device memory, which an MPI that is not CUDA-aware cannot read.
void check_buffers(const MpiBuffers& buffers, const char* call);
/// MPI may touch the buffers until `request` completes: they are checked now and again then.
void track(MPI_Request request, MpiBuffers buffers, const char* call);
/// A request has completed. Requests that were not tracked are ignored.
void finish(MPI_Request request);

}  // namespace ep::emulator

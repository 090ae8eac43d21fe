#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include <mpi.h>
#include <nccl.h>

namespace ep::emulator {

/// One send or receive of a group, which travels as one MPI message with count and type behind the data.
struct Transfer {
  bool sends = false;
  void* data = nullptr;
  std::size_t count = 0;
  ncclDataType_t type = ncclInt8;
  int peer = 0;  // rank in the communicator

  std::vector<char> staged = {};
  MPI_Request request = MPI_REQUEST_NULL;
  int tag = 0;
  bool done = false;

  std::size_t bytes() const;
};

/// The sends and receives of one ncclGroup, which go on at the same time. Copied from a graph at each of its launches,
/// before it has started, so it keeps all its state in itself.
class GroupOperation {
 public:
  GroupOperation(ncclComm_t comm, std::vector<Transfer> transfers);

  /// Moves on, and says whether everything has arrived (or the communicator was aborted). Called by the engine.
  bool operator()();

 private:
  void start();
  bool advance(Transfer& transfer) const;
  bool receive(Transfer& transfer) const;

  ncclComm_t comm_;
  std::shared_ptr<int> alive_;
  std::vector<Transfer> transfers_;
  bool started_ = false;
  bool never_ends_ = false;
};

}  // namespace ep::emulator

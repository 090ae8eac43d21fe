#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <nccl.h>

#include "cuda_emulator/nccl/bootstrap.hpp"
#include "cuda_emulator/runtime/stream.hpp"

/// NCCL's handle. Never freed: a use after destruction must be told.
struct ncclComm {
  std::uint32_t id = 0;  // the same on all members, unique in the program
  int rank = 0;
  std::vector<int> world_ranks;  // of the members
  bool blocking = true;
  bool finalized = false;
  bool dead = false;  // destroyed or aborted
  bool aborted = false;
  ncclResult_t async_error = ncclSuccess;

  /// What makes the communicator answer ncclInProgress: it is asked, after so many questions in vain, whether it is
  /// done, and does the rest of its work then. Empty: the communicator is ready.
  std::function<bool()> unfinished;
  std::uint32_t vain_polls = 0;

  std::shared_ptr<ep::emulator::OperationPtr> latest;  // operations of a communicator run one after the other
  std::shared_ptr<int> operations;                     // held by every operation: how many live, also in graphs
  std::vector<std::uint32_t> sent;                     // messages to each peer so far: they are matched in order
  std::vector<std::uint32_t> received;
  std::uint32_t meetings = 0;  // splits and finalizations so far
  std::vector<void*> registered;
};

namespace ep::emulator {

/// Fails for a communicator that was destroyed or that is still in progress.
void require_ready(ncclComm_t comm, const char* caller);

/// Starts something that ends when `done` says so. A blocking communicator waits for it; another answers
/// ncclInProgress, at random also when it is done at once.
ncclResult_t begin(ncclComm_t comm, std::function<bool()> done, const char* caller);

/// Counts the calls that EP_EMU_FAIL_NCCL may make fail.
bool nccl_fault_due();

/// A meeting of all members of `comm`, in which each says `color` and `key`. Returns its id.
std::uint64_t meet(ncclComm_t comm, int color, int key);

}  // namespace ep::emulator

// ncclSend and ncclRecv, groups, and what is asked of a communicator.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "cuda_emulator/nccl/communicator.hpp"
#include "cuda_emulator/nccl/transfer.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

using namespace ep::emulator;

namespace {

/// What a thread has issued since the outermost ncclGroupStart.
struct Group {
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::vector<Transfer> transfers;
};

thread_local int group_depth = 0;
thread_local std::vector<Group>* groups = nullptr;
thread_local ncclResult_t group_error = ncclSuccess;  // of a call within it, which its end returns

std::string describe(const Group& group) {
  constexpr std::size_t kShown = 160;
  std::string text = "NCCL group:";
  for (const Transfer& transfer : group.transfers) {
    if (text.size() > kShown) return text + " …";
    text += fmt::format(" {} {} x {}", transfer.sends ? "send to" : "receive from", transfer.peer, transfer.count);
  }
  return text;
}

/// Enqueues a group, or leaves that to a later ncclCommGetAsyncError.
ncclResult_t enqueue(const Group& group) {
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(group.stream);
  if (stream.held_by != nullptr) fail("nccl-in-progress", "an NCCL call on a stream that waits for another one");
  const auto submit = [group, &engine, &stream] {
    stream.held_by = nullptr;
    const Task task{
        .name = describe(group), .work = GroupOperation(group.comm, group.transfers), .serial = group.comm->latest};
    if (engine.submit(stream, task) != cudaSuccess) group.comm->async_error = ncclUnhandledCudaError;
    return true;
  };
  // A group can wait; a blocking communicator enqueues at once.
  stream.held_by = group.comm;
  const ncclResult_t result = begin(group.comm, submit, "ncclGroupEnd");
  if (result != ncclInProgress) stream.held_by = nullptr;
  return result;
}

ncclResult_t add(ncclComm_t comm, cudaStream_t stream, Transfer transfer, const char* caller) {
  {
    const Guard guard;
    require_ready(comm, caller);
    static std::uint64_t calls = 0;
    if (fault_due(config().faults.nccl_transfer, calls)) {
      if (group_depth > 0) group_error = ncclSystemError;
      return ncclSystemError;
    }
    if (transfer.peer < 0 || static_cast<std::size_t>(transfer.peer) >= comm->world_ranks.size()) {
      return ncclInvalidArgument;
    }
    Memory::get().require_range(transfer.data, transfer.bytes(), caller);
  }
  ncclGroupStart();
  const auto same_comm = [comm](const Group& group) { return group.comm == comm; };
  auto group = std::find_if(groups->begin(), groups->end(), same_comm);
  if (group == groups->end()) group = groups->insert(group, {comm, stream, {}});
  if (group->stream != stream) fail("unsupported", "an NCCL group on several streams");
  group->transfers.push_back(std::move(transfer));
  return ncclGroupEnd();
}

/// EP_EMU_ABSENT: this rank stays here for ever, outside the emulator's lock.
void stay_away_if_absent() {
  static std::atomic<std::uint64_t> groups_reached = 0;
  const Faults& faults = config().faults;
  const bool concerned = faults.absent != 0 && (faults.rank < 0 || faults.rank == launcher_rank());
  if (!concerned || ++groups_reached != faults.absent) return;
  for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
}

Transfer transfer_of(bool sends, const void* data, std::size_t count, ncclDataType_t type, int peer) {
  return {.sends = sends, .data = const_cast<void*>(data), .count = count, .type = type, .peer = peer};
}

}  // namespace

extern "C" {

ncclResult_t ncclGroupStart() {
  if (groups == nullptr) groups = new std::vector<Group>;
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return ncclInvalidUsage;
  if (--group_depth > 0 || (groups->empty() && group_error == ncclSuccess)) return ncclSuccess;
  stay_away_if_absent();
  const Guard guard;
  const std::vector<Group> issued = std::move(*groups);
  groups->clear();
  if (const ncclResult_t failed = std::exchange(group_error, ncclSuccess); failed != ncclSuccess) return failed;
  if (nccl_fault_due()) return ncclSystemError;
  ncclResult_t result = ncclSuccess;
  for (const Group& group : issued) {
    if (const ncclResult_t each = enqueue(group); each != ncclSuccess) result = each;
  }
  return result;
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(comm, stream, transfer_of(true, data, count, type, peer), "ncclSend");
}

ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(comm, stream, transfer_of(false, data, count, type, peer), "ncclRecv");
}

ncclResult_t ncclAlltoAll(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                          cudaStream_t stream) {
  const int ranks = comm->dead ? 0 : static_cast<int>(comm->world_ranks.size());
  const std::size_t bytes = transfer_of(true, send, count, type, 0).bytes();
  ncclGroupStart();
  ncclResult_t result = ncclSuccess;
  for (int peer = 0; peer < ranks && result == ncclSuccess; ++peer) {
    const std::size_t offset = static_cast<std::size_t>(peer) * bytes;
    result = ncclSend(static_cast<const char*>(send) + offset, count, type, peer, comm, stream);
    if (result == ncclSuccess) {
      result = ncclRecv(static_cast<char*>(receive) + offset, count, type, peer, comm, stream);
    }
  }
  const ncclResult_t end = ncclGroupEnd();
  return result != ncclSuccess ? result : end;
}

ncclResult_t ncclMemAlloc(void** pointer, std::size_t bytes) {
  const Guard guard;
  if (nccl_fault_due()) return ncclUnhandledCudaError;
  *pointer = Memory::get().allocate(bytes, MemoryKind::nccl);
  return *pointer != nullptr || bytes == 0 ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclMemFree(void* pointer) {
  const Guard guard;
  if (pointer == nullptr) return ncclSuccess;
  cudaDeviceSynchronize();
  Memory::get().release(
      pointer, [](MemoryKind kind) { return kind == MemoryKind::nccl; }, "ncclMemFree");
  return ncclSuccess;
}

ncclResult_t ncclCommRegister(ncclComm_t comm, void* data, std::size_t bytes, void** handle) {
  const Guard guard;
  require_ready(comm, "ncclCommRegister");
  *handle = nullptr;
  if (nccl_fault_due()) return ncclSystemError;
  if (config().refuse_registration) return ncclSuccess;  // NCCL refuses with a null handle
  Allocation* allocation = Memory::get().require_range(data, bytes, "ncclCommRegister");
  ++allocation->registrations;
  comm->registered.push_back(data);
  *handle = data;
  return ncclSuccess;
}

ncclResult_t ncclCommDeregister(ncclComm_t comm, void* handle) {
  const Guard guard;
  if (handle == nullptr) return ncclSuccess;
  if (comm == nullptr || comm->dead) fail("nccl-usage", "ncclCommDeregister on a communicator that is gone");
  const auto found = std::find(comm->registered.begin(), comm->registered.end(), handle);
  if (found == comm->registered.end()) return ncclInvalidArgument;
  comm->registered.erase(found);
  --Memory::get().find(handle)->registrations;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
  const Guard guard;
  require_ready(comm, "ncclCommCount");
  *count = static_cast<int>(comm->world_ranks.size());
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
  const Guard guard;
  require_ready(comm, "ncclCommUserRank");
  *rank = comm->rank;
  return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(ncclComm_t, int* device) {
  cudaGetDevice(device);
  return ncclSuccess;
}

ncclResult_t ncclGetVersion(int* version) {
  *version = config().nccl_version != 0 ? config().nccl_version : NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t) {
  return "the emulated NCCL keeps no text of its last error";
}

}  // extern "C"

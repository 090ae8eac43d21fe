#include "cuda_emulator/nccl/communicator.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "cuda_emulator/mpi/fabric.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

constexpr std::uint64_t kInitialMeeting = std::uint64_t{1} << 63;
constexpr unsigned kConfigMagic = 0xcafebeef;  // of NCCL_CONFIG_INITIALIZER

Random& in_progress_random() {
  static Random random = seeded_random(6, 0);
  return random;
}

bool is_blocking(const ncclConfig_t* config) {
  return config == nullptr || config->blocking != 0;
}

std::array<char, 16> device_uuid() {
  int device = 0;
  cudaDeviceProp properties;
  cudaGetDevice(&device);
  if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) return {};
  std::array<char, 16> uuid{};
  std::memcpy(uuid.data(), &properties.uuid, sizeof(uuid));
  return uuid;
}

/// Makes `comm` the communicator of these members. NCCL refuses two ranks on one device.
void adopt(ncclComm& comm, std::uint32_t id, const std::vector<Bootstrap::Member>& members) {
  comm.id = id;
  comm.world_ranks.clear();
  comm.sent.assign(members.size(), 0);
  comm.received.assign(members.size(), 0);
  std::vector<std::array<char, 16>> uuids;
  for (const Bootstrap::Member& member : members) {
    if (member.world_rank == fabric_rank()) comm.rank = static_cast<int>(comm.world_ranks.size());
    comm.world_ranks.push_back(member.world_rank);
    if (std::find(uuids.begin(), uuids.end(), member.uuid) != uuids.end()) comm.async_error = ncclInvalidUsage;
    uuids.push_back(member.uuid);
  }
}

ncclComm* new_communicator(bool blocking) {
  auto* comm = new ncclComm;
  comm->blocking = blocking;
  comm->latest = std::make_shared<OperationPtr>();
  comm->operations = std::make_shared<int>(0);
  return comm;
}

std::vector<Bootstrap::Member> members_of_color(const Bootstrap::Meeting& meeting, int color) {
  std::vector<Bootstrap::Member> members;
  std::copy_if(meeting.members.begin(), meeting.members.end(), std::back_inserter(members),
               [color](const Bootstrap::Member& member) { return member.color == color; });
  std::stable_sort(members.begin(), members.end(),
                   [](const Bootstrap::Member& a, const Bootstrap::Member& b) { return a.key < b.key; });
  return members;
}

bool idle(const ncclComm& comm) {
  return *comm.latest == nullptr || (*comm.latest)->done;
}

}  // namespace

void require_ready(ncclComm_t comm, const char* caller) {
  if (comm == nullptr || comm->dead) fail("nccl-usage", fmt::format("{} on a communicator that is gone", caller));
  if (comm->unfinished) {
    fail("nccl-in-progress",
         fmt::format("{} on a communicator in progress: ncclCommGetAsyncError has not said ncclSuccess", caller));
  }
  if (comm->finalized) fail("nccl-usage", fmt::format("{} on a finalized communicator", caller));
}

ncclResult_t begin(ncclComm_t comm, std::function<bool()> done, const char* caller) {
  if (comm->blocking) {
    if (!done()) Engine::get().wait_until(done, caller);
    return comm->async_error;
  }
  Random& random = in_progress_random();
  const bool pretend = random.below(100) < config().in_progress_percent;
  if (!pretend && done()) return comm->async_error;
  comm->unfinished = std::move(done);
  comm->vain_polls = pretend ? random.below(4) : 0;
  return ncclInProgress;
}

bool nccl_fault_due() {
  static std::uint64_t calls = 0;
  return fault_due(config().faults.nccl, calls);
}

std::uint64_t meet(ncclComm_t comm, int color, int key) {
  const std::uint64_t id = std::uint64_t{comm->id} << 32 | ++comm->meetings;
  Bootstrap::get().join(id, comm->world_ranks.front(), static_cast<int>(comm->world_ranks.size()),
                        {fabric_rank(), comm->rank, color, key, device_uuid()});
  return id;
}

}  // namespace ep::emulator

using namespace ep::emulator;

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const Guard guard;
  static std::uint32_t ids = 0;
  if (fabric() == MPI_COMM_NULL) fail("nccl-usage", "the emulated NCCL needs MPI_Init first");
  if (nccl_fault_due()) return ncclSystemError;
  std::memset(id, 0, sizeof(*id));
  const std::uint64_t meeting =
      kInitialMeeting | static_cast<std::uint64_t>(fabric_rank()) << 32 | ++ids;  // its maker is the root
  std::memcpy(id->internal, &meeting, sizeof(meeting));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const Guard guard;
  *comm = nullptr;
  if (fabric() == MPI_COMM_NULL) fail("nccl-usage", "the emulated NCCL needs MPI_Init first");
  if (size < 1 || rank < 0 || rank >= size) return ncclInvalidArgument;
  if (config != nullptr && config->magic != kConfigMagic) return ncclInvalidArgument;
  if (nccl_fault_due()) return ncclSystemError;
  std::uint64_t meeting = 0;
  std::memcpy(&meeting, id.internal, sizeof(meeting));
  const int root = static_cast<int>((meeting & ~kInitialMeeting) >> 32);
  ncclComm* made = *comm = new_communicator(is_blocking(config));
  Bootstrap::get().join(meeting, root, size, {fabric_rank(), rank, 0, 0, device_uuid()});
  const auto done = [made, meeting] {
    const Bootstrap::Meeting* result = Bootstrap::get().result(meeting);
    if (result == nullptr) return false;
    adopt(*made, result->serial, result->members);
    Bootstrap::get().forget(meeting);
    return true;
  };
  return begin(made, done, "ncclCommInitRankConfig");
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(comm, size, id, rank, nullptr);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* part, ncclConfig_t* config) {
  const Guard guard;
  require_ready(comm, "ncclCommSplit");
  *part = nullptr;  // set when the split is done, as NCCL does
  if (nccl_fault_due()) return ncclSystemError;
  const bool blocking = config != nullptr ? is_blocking(config) : comm->blocking;
  const std::uint64_t meeting = meet(comm, color, key);
  const auto done = [meeting, color, part, blocking] {
    const Bootstrap::Meeting* result = Bootstrap::get().result(meeting);
    if (result == nullptr) return false;
    if (color != NCCL_SPLIT_NOCOLOR) {
      *part = new_communicator(blocking);
      // Parts of one split share a number: they share no rank either.
      adopt(**part, result->serial, members_of_color(*result, color));
      const auto connected = [] { return true; };
      begin(*part, connected, "ncclCommSplit");  // in progress on its own account, whatever `comm` says
    }
    Bootstrap::get().forget(meeting);
    return true;
  };
  return begin(comm, done, "ncclCommSplit");
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const Guard guard;
  require_ready(comm, "ncclCommFinalize");
  if (nccl_fault_due()) return ncclSystemError;
  comm->finalized = true;
  const std::uint64_t meeting = meet(comm, 0, 0);
  const auto done = [comm, meeting] {
    if (!idle(*comm) || Bootstrap::get().result(meeting) == nullptr) return false;
    Bootstrap::get().forget(meeting);
    return true;
  };
  return begin(comm, done, "ncclCommFinalize");
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const Guard guard;
  if (!comm->finalized) require_ready(comm, "ncclCommDestroy");
  if (comm->unfinished) fail("nccl-in-progress", "ncclCommDestroy before ncclCommFinalize was done");
  if (comm->dead) fail("nccl-usage", "ncclCommDestroy on a communicator that is gone");
  Engine::get().wait_until([comm] { return idle(*comm); }, "ncclCommDestroy");
  *comm->latest = nullptr;
  if (comm->operations.use_count() > 1) {
    fail("nccl-usage", "ncclCommDestroy while a graph holds operations of the communicator");
  }
  comm->dead = true;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const Guard guard;
  if (comm->dead) fail("nccl-usage", "ncclCommAbort on a communicator that is gone");
  comm->aborted = comm->dead = true;
  comm->unfinished = nullptr;
  Engine& engine = Engine::get();
  for (CUstream_st* stream : engine.streams()) {
    if (stream->held_by == comm) stream->held_by = nullptr;
  }
  // Its operations end now, with whatever has arrived. As NCCL does, it also waits until no graph holds any.
  engine.wait_until([comm] { return idle(*comm); }, "ncclCommAbort");
  *comm->latest = nullptr;
  engine.wait_until([comm] { return comm->operations.use_count() == 1; },
                    "ncclCommAbort while a graph holds operations of the communicator");
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const Guard guard;
  if (comm->dead) fail("nccl-usage", "ncclCommGetAsyncError on a communicator that is gone");
  Engine::get().offer_polling();
  if (comm->unfinished) {
    if (comm->vain_polls > 0) --comm->vain_polls;
    // Taken out while it runs: what it enqueues must not meet a communicator in progress.
    else if (auto unfinished = std::exchange(comm->unfinished, nullptr); !unfinished())
      comm->unfinished = unfinished;
  }
  *error = comm->unfinished ? ncclInProgress : comm->async_error;
  return ncclSuccess;
}

}  // extern "C"

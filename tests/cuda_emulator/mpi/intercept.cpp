#include "cuda_emulator/mpi/intercept.hpp"

#include <map>
#include <optional>

#include <fmt/format.h>

#include "cuda_emulator/api/device.hpp"
#include "cuda_emulator/mpi/fabric.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

MPI_Comm fabric_communicator = MPI_COMM_NULL;
int rank_on_fabric = 0;

struct Tracked {
  MpiBuffers buffers;
  const char* call;
};

std::map<MPI_Request, Tracked>& tracked() {
  static auto& requests = *new std::map<MPI_Request, Tracked>;
  return requests;
}

bool in_emulated_memory(const MpiBuffer& buffer) {
  return Memory::get().contains(buffer.data);
}

int initialise(int* argc, char*** argv) {
  int provided = 0;
  check_environment_of_cuda("MPI_Init");  // as a CUDA-aware one does
  // The engine's thread talks to MPI beside the program's.
  const int error = PMPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided);
  if (error != MPI_SUCCESS) return error;
  if (provided < MPI_THREAD_MULTIPLE) fail("mpi", "the emulator needs an MPI with MPI_THREAD_MULTIPLE");
  PMPI_Comm_dup(MPI_COMM_WORLD, &fabric_communicator);
  PMPI_Comm_rank(fabric_communicator, &rank_on_fabric);
  return MPI_SUCCESS;
}

}  // namespace

MPI_Comm fabric() {
  return fabric_communicator;
}
int fabric_rank() {
  return rank_on_fabric;
}

HostInMpi::HostInMpi() : counted_(Engine::exists()) {
  if (!counted_) return;
  const Guard guard;
  Engine::get().host_blocks();
}

HostInMpi::~HostInMpi() {
  if (!counted_) return;
  const Guard guard;
  Engine::get().host_is_back();
}

void host_polls() {
  if (!Engine::exists()) return;
  const Guard guard;
  Engine::get().offer_polling();
}

MpiBuffer mpi_buffer(const void* data, int count, MPI_Datatype type, Access access) {
  int bytes = 0;
  PMPI_Type_size(type, &bytes);
  if (data == MPI_IN_PLACE) return {};
  return {data, static_cast<std::size_t>(count) * static_cast<std::size_t>(bytes), access};
}

void append_per_peer(MpiBuffers& buffers, const void* data, const int counts[], const int displacements[],
                     MPI_Datatype type, MPI_Comm communicator, Access access) {
  if (data == MPI_IN_PLACE) return;
  int peers = 0;
  int bytes = 0;
  PMPI_Comm_size(communicator, &peers);
  PMPI_Type_size(type, &bytes);
  for (int peer = 0; peer < peers; ++peer) {
    const auto* first = static_cast<const char*>(data) + static_cast<std::ptrdiff_t>(displacements[peer]) * bytes;
    buffers.push_back(mpi_buffer(first, counts[peer], type, access));
  }
}

void check_buffers(const MpiBuffers& buffers, const char* call) {
  if (!Engine::exists()) return;
  for (const MpiBuffer& buffer : buffers) {
    if (buffer.bytes == 0 || !in_emulated_memory(buffer)) continue;
    const Guard guard;
    const Allocation* allocation = Memory::get().require_range(buffer.data, buffer.bytes, call);
    if (allocation->kind != MemoryKind::pinned && !config().cuda_aware_mpi) {
      fail("host-touches-device", fmt::format("{} is given allocation #{}, which is on the device: this MPI is not "
                                              "CUDA-aware",
                                              call, allocation->id));
    }
    if (allocation->kind != MemoryKind::pinned && !thread_uses_chosen_device()) {
      fail("wrong-device",
           fmt::format("{} is given allocation #{} by a thread that uses another device", call, allocation->id));
    }
    if (buffer.access == Access::read) Checker::get().require_initialised(buffer.data, buffer.bytes, call);
    Checker::get().on_range(buffer.data, buffer.bytes, buffer.access);
  }
}

void track(MPI_Request request, MpiBuffers buffers, const char* call) {
  if (!Engine::exists()) return;
  check_buffers(buffers, call);
  std::erase_if(buffers, [](const MpiBuffer& each) { return each.bytes == 0 || !in_emulated_memory(each); });
  if (buffers.empty() || request == MPI_REQUEST_NULL) return;
  const Guard guard;
  tracked()[request] = {std::move(buffers), call};
}

void finish(MPI_Request request) {
  if (!Engine::exists() || request == MPI_REQUEST_NULL) return;
  const Guard guard;
  const auto found = tracked().find(request);
  if (found == tracked().end()) return;
  const Tracked done = std::move(found->second);
  tracked().erase(found);
  check_buffers(done.buffers, done.call);
}

}  // namespace ep::emulator

using namespace ep::emulator;

extern "C" {

int MPI_Init(int* argc, char*** argv) {
  return initialise(argc, argv);
}

int MPI_Init_thread(int* argc, char*** argv, int required, int* provided) {
  *provided = required;
  return initialise(argc, argv);
}

int MPI_Finalize() {
  // The lock keeps the engine out of MPI, which it must not call from now on.
  std::optional<Guard> guard;
  if (Engine::exists()) guard.emplace();
  fabric_communicator = MPI_COMM_NULL;
  guard.reset();
  return PMPI_Finalize();
}

/// Of Open MPI's extensions: whether MPI calls may be given device memory.
int MPIX_Query_cuda_support() {
  return config().cuda_aware_mpi ? 1 : 0;
}

}  // extern "C"

#include "cuda_emulator/nccl/transfer.hpp"

#include <cstdint>
#include <cstring>

#include <climits>
#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/mpi/fabric.hpp"
#include "cuda_emulator/nccl/communicator.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

struct Trailer {
  std::uint64_t count;
  std::int64_t type;
};

constexpr int kPoison = 0xff;

/// Messages of a communicator to one peer are matched in the order of issue, whatever the order of arrival. Tags below
/// 2^16 are the bootstrap's.
int message_tag(std::uint32_t comm_id, std::uint32_t number) {
  return static_cast<int>(((comm_id % 0x7ffe) + 1) << 16 | (number & 0xffff));
}

std::size_t element_bytes(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
    case ncclFloat8e4m3:
    case ncclFloat8e5m2:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    default:
      return 8;
  }
}

}  // namespace

std::size_t Transfer::bytes() const {
  return count * element_bytes(type);
}

GroupOperation::GroupOperation(ncclComm_t comm, std::vector<Transfer> transfers)
    : comm_(comm), alive_(comm->operations), transfers_(std::move(transfers)) {}

bool GroupOperation::operator()() {
  if (comm_->aborted) return true;
  if (fabric() == MPI_COMM_NULL) return false;
  if (!started_) start();
  if (never_ends_) return false;
  bool all = true;
  for (Transfer& transfer : transfers_) {
    if (!transfer.done) transfer.done = advance(transfer);
    all = all && transfer.done;
  }
  return all;
}

void GroupOperation::start() {
  static std::uint64_t groups = 0;
  started_ = true;
  if (fault_due(config().faults.nccl_async, groups)) {
    comm_->async_error = ncclRemoteError;
    never_ends_ = true;
    return;
  }
  for (Transfer& transfer : transfers_) {
    const auto peer = static_cast<std::size_t>(transfer.peer);
    const std::size_t bytes = transfer.bytes();
    Memory::get().require_range(transfer.data, bytes, transfer.sends ? "ncclSend" : "ncclRecv");
    Checker::get().on_range(transfer.data, bytes, transfer.sends ? Access::read : Access::write);
    transfer.tag = message_tag(comm_->id, transfer.sends ? comm_->sent[peer]++ : comm_->received[peer]++);
    if (!transfer.sends) {
      if (bytes > 0) std::memset(transfer.data, kPoison, bytes);  // from now on NCCL may write there
      continue;
    }
    const Trailer trailer{transfer.count, transfer.type};
    if (bytes + sizeof(trailer) > INT_MAX) fail("unsupported", "an NCCL message of 2 GiB or more");
    transfer.staged.resize(bytes + sizeof(trailer));
    if (bytes > 0) std::memcpy(transfer.staged.data(), transfer.data, bytes);
    std::memcpy(transfer.staged.data() + bytes, &trailer, sizeof(trailer));
    // Synchronous, so that a missing receive is not hidden by buffering.
    PMPI_Issend(transfer.staged.data(), static_cast<int>(transfer.staged.size()), MPI_BYTE, comm_->world_ranks[peer],
                transfer.tag, fabric(), &transfer.request);
  }
}

bool GroupOperation::advance(Transfer& transfer) const {
  if (!transfer.sends) return receive(transfer);
  int sent = 0;
  PMPI_Test(&transfer.request, &sent, MPI_STATUS_IGNORE);
  return sent != 0;
}

bool GroupOperation::receive(Transfer& transfer) const {
  int arrived = 0;
  MPI_Message message;
  MPI_Status status;
  const int source = comm_->world_ranks[static_cast<std::size_t>(transfer.peer)];
  PMPI_Improbe(source, transfer.tag, fabric(), &arrived, &message, &status);
  if (arrived == 0) return false;
  int bytes = 0;
  PMPI_Get_count(&status, MPI_BYTE, &bytes);
  transfer.staged.resize(static_cast<std::size_t>(bytes));
  PMPI_Mrecv(transfer.staged.data(), bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE);
  Trailer trailer;
  const std::size_t data_bytes = transfer.staged.size() - sizeof(trailer);
  std::memcpy(&trailer, transfer.staged.data() + data_bytes, sizeof(trailer));
  if (trailer.count != transfer.count || trailer.type != transfer.type) {
    fail("nccl-mismatch",
         fmt::format("rank {} receives {} elements of type {} from rank {}, which sends {} of type {}", comm_->rank,
                     transfer.count, static_cast<int>(transfer.type), transfer.peer, trailer.count, trailer.type));
  }
  if (data_bytes > 0) std::memcpy(transfer.data, transfer.staged.data(), data_bytes);
  transfer.staged = {};
  return true;
}

}  // namespace ep::emulator

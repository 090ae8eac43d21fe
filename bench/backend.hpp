#pragma once
#include <memory>
#include <string>
#include <vector>

#include "bench/options.hpp"
#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "mpi/communicator.hpp"

namespace ep::bench {

/// What the job runs on, the same kind on every rank.
struct Backend {
  std::unique_ptr<device::Device> device;
  std::unique_ptr<exchange::Exchange> exchange;
  bool emulated = false;    // times mean nothing
  std::string sharing;      // a sentence for the report where ranks share a GPU; empty where none do
  std::string mpi_buffers;  // a sentence for the report on how GPU rows reach MPI; empty where none do
};

/// Device and exchange as --device and --exchange ask; `auto` takes cuda where every rank has a GPU, else cpu and says
/// why, and nccl where every rank has a GPU of its own; --mpi-buffers `auto` stages where any rank's MPI is not
/// CUDA-aware. Throws SharedError for what this machine cannot do or what makes no sense, and Error for what fails on
/// this rank alone. @pre collective
Backend make_backend(const RunOptions& options, const RunConfig& config, const mpi::Communicator& communicator);

/// What was asked of GPU and NCCL beyond their defaults, and whether it was granted on this rank: for the report.
std::vector<std::string> tuning_notes(const RunOptions& options, const Backend& backend);

}  // namespace ep::bench

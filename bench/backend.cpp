#include "bench/backend.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/affinity.hpp"
#include "core/error.hpp"
#include "device/cuda_device.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "mpi/agreement.hpp"
#include "mpi/topology.hpp"

namespace ep::bench {

namespace {

/// Cores of this rank, shared evenly with the ranks of the same host that are bound to the same ones.
int default_threads(const mpi::Communicator& communicator) {
  const std::string mine = mpi::host_name() + " " + core::core_list();
  const std::vector<std::string> all = communicator.gather_all(mine);
  const auto sharers = static_cast<int>(std::count(all.begin(), all.end(), mine));
  return std::max(1, core::core_count() / sharers);
}

/// The GPUs of the job, as all ranks see them.
struct Gpus {
  int ordinal = 0;      // this rank's
  std::string missing;  // the first rank without one, and why; empty when all have one
  bool shared = false;  // two ranks have the same one
};

/// The n-th rank of a node takes its n-th visible GPU, round and round. Where the launcher shows each task one GPU
/// only, that is number 0 for all, so whether two ranks share one is told by the GPUs' own numbers.
Gpus find_gpus(const mpi::Communicator& communicator) {
  Gpus gpus;
  const device::CudaAvailability here = device::find_cuda_gpus();
  const std::vector<std::string> hosts = communicator.gather_all(mpi::host_name());
  const std::vector<std::string> reasons = communicator.gather_all(here.gpus > 0 ? std::string{} : here.reason);
  for (std::size_t rank = 0; rank < reasons.size() && gpus.missing.empty(); ++rank)
    if (!reasons[rank].empty()) gpus.missing = fmt::format("rank {} on {}: {}", rank, hosts[rank], reasons[rank]);
  if (!gpus.missing.empty()) return gpus;
  const auto me = static_cast<std::ptrdiff_t>(communicator.rank());
  const auto local_rank = std::count(hosts.begin(), hosts.begin() + me, hosts[static_cast<std::size_t>(me)]);
  gpus.ordinal = static_cast<int>(local_rank) % here.gpus;
  std::vector<std::string> uuids =
      communicator.gather_all(hosts[static_cast<std::size_t>(me)] + device::cuda_uuid(gpus.ordinal));
  std::sort(uuids.begin(), uuids.end());
  gpus.shared = std::adjacent_find(uuids.begin(), uuids.end()) != uuids.end();
  return gpus;
}

void say(const mpi::Communicator& communicator, const std::string& line) {
  if (communicator.rank() == 0) fmt::print(stderr, "note: {}\n", line);
}

/// Throws Error (unsupported) when a flag is for something that this run does not use.
void require_used(const RunOptions& options, bool cuda, bool nccl) {
  const auto require = [](bool holds, std::string_view flag, std::string_view why) {
    if (!holds) throw core::Error(core::ExitCode::unsupported, fmt::format("{}: {}", flag, why));
  };
  require(nccl || options.nccl_ctas == 0, "--nccl-ctas", "this run does not exchange with NCCL, whose SMs it sets");
  require(nccl || !options.register_buffers, "--register",
          "this run does not exchange with NCCL, which would register");
  require(nccl || !options.cuda_graph, "--cuda-graph",
          cuda ? "an exchange over MPI cannot be part of a graph; use --exchange nccl, with a GPU for each rank"
               : "this run computes on the cpu, which has no graphs; use --device cuda");
  require((cuda && !nccl) || options.mpi_buffers == "auto", "--mpi-buffers",
          cuda ? "this run moves rows with NCCL; use --exchange mpi"
               : "this run computes on the cpu, whose rows lie in host memory");
  require(cuda || options.gemm_sms == 0, "--gemm-sms", "this run computes on the cpu, which has no SMs");
}

Backend make_cpu_backend(const RunOptions& options, const RunConfig& config, const mpi::Communicator& communicator) {
  Backend backend;
  // What is refused is refused on every rank, before anything is communicated.
  mpi::all_or_none(communicator, [&] {
    if (options.exchange == "nccl")
      throw core::InputError("command line", "--exchange", "nccl", "it moves GPU memory; the cpu device needs mpi");
    require_used(options, false, false);
    backend.exchange = exchange::make_mpi_exchange(communicator, config.mpi);
  });
  backend.device = device::make_cpu_device({options.threads > 0 ? options.threads : default_threads(communicator),
                                            backend.exchange->reads_senders_memory()});
  return backend;
}

/// Why GPU rows are staged, as all ranks see it; empty where every rank's MPI can be given device memory.
std::string reason_to_stage(const RunOptions& options, const mpi::Communicator& communicator) {
  if (options.mpi_buffers == "pinned") return "--mpi-buffers pinned";
  const std::vector<std::string> refusals = communicator.gather_all(exchange::device_rows_refusal());
  const auto first =
      std::find_if(refusals.begin(), refusals.end(), [](const std::string& each) { return !each.empty(); });
  return first == refusals.end() ? "" : fmt::format("rank {}: {}", first - refusals.begin(), *first);
}

void add_mpi_exchange(Backend& backend, const RunOptions& options, const RunConfig& config,
                      const mpi::Communicator& communicator) {
  const std::string reason = reason_to_stage(options, communicator);
  if (options.mpi_buffers == "device" && !reason.empty())
    throw mpi::SharedError(core::ExitCode::unsupported, "--mpi-buffers device: " + reason);
  mpi::all_or_none(communicator, [&] {
    backend.exchange = reason.empty() ? exchange::make_cuda_aware_exchange(communicator, config.mpi)
                                      : exchange::make_staged_exchange(communicator, config.mpi);
  });
  backend.mpi_buffers = reason.empty() ? "MPI sends rows from and receives them into device memory"
                                       : fmt::format("rows for MPI are staged through pinned memory ({})", reason);
}

Backend make_cuda_backend(const RunOptions& options, const RunConfig& config, const mpi::Communicator& communicator,
                          const Gpus& gpus) {
  const bool nccl = options.exchange == "nccl" || (options.exchange == "auto" && !gpus.shared);
  if (nccl && gpus.shared)
    throw mpi::SharedError(
        core::ExitCode::unsupported,
        "--exchange nccl: two ranks have the same GPU, which NCCL refuses; start one rank a GPU, or use "
        "--exchange mpi, which lets them share it");
  if (config.shape.dispatch_dtype == core::DType::e4m3 && config.shape.hidden % 16 != 0)
    throw mpi::SharedError(
        core::ExitCode::unsupported,
        fmt::format("--dispatch-dtype fp8: a hidden size of {}; on a GPU it must be a multiple of 16",
                    config.shape.hidden));
  Backend backend;
  if (gpus.shared) {
    backend.sharing = "ranks share a GPU: their times are time-sliced";
    say(communicator, backend.sharing);
  }
  mpi::all_or_none(communicator, [&] { require_used(options, true, nccl); });
  device::CudaOptions cuda;
  cuda.ordinal = gpus.ordinal;
  cuda.gemm_sms = options.gemm_sms;
  if (nccl) cuda.allocate_exchange = exchange::allocate_for_nccl;
  // The exchange needs the device first.
  const auto registrar = std::make_shared<exchange::Exchange*>(nullptr);
  if (options.register_buffers)
    cuda.allocate_exchange = [registrar](std::int64_t bytes) {
      return exchange::allocate_registered(**registrar, bytes);
    };
  mpi::all_or_none(communicator, [&] { backend.device = device::make_cuda_device(cuda); });
  // A rank that fails to connect to NCCL leaves the others waiting: its error is its own.
  if (nccl) {
    // A little sooner than the watchdog, which knows less of what NCCL was at.
    const double timeout_s = options.timeout_s > 0 ? 0.9 * options.timeout_s : std::numeric_limits<double>::infinity();
    backend.exchange = exchange::make_nccl_exchange(communicator, {options.nccl_ctas, timeout_s});
    *registrar = backend.exchange.get();
  } else {
    add_mpi_exchange(backend, options, config, communicator);
  }
  backend.emulated = device::cuda_is_emulated();
  return backend;
}

}  // namespace

std::vector<std::string> tuning_notes(const RunOptions& options, const Backend& backend) {
  std::vector<std::string> notes;
  if (options.gemm_sms > 0 || options.nccl_ctas > 0) {
    const auto share = [](int sms) { return sms > 0 ? std::to_string(sms) : "as many as they like"; };
    notes.push_back(
        fmt::format("SMs: GEMMs take {}, NCCL's thread blocks {}", share(options.gemm_sms), share(options.nccl_ctas)));
  }
  if (options.cuda_graph)
    notes.emplace_back(
        "each iteration is launched as one CUDA graph; predictions are for operations launched one by one");
  if (!backend.exchange->registration().empty())
    notes.push_back(
        fmt::format("registering the exchange's buffers with NCCL was {}", backend.exchange->registration()));
  if (!backend.exchange->within_node().empty())
    notes.push_back(fmt::format("rows between ranks of a node: {}", backend.exchange->within_node()));
  if (!backend.mpi_buffers.empty()) notes.push_back(backend.mpi_buffers);
  return notes;
}

Backend make_backend(const RunOptions& options, const RunConfig& config, const mpi::Communicator& communicator) {
  if (options.device == "cpu") return make_cpu_backend(options, config, communicator);
  const Gpus gpus = find_gpus(communicator);
  if (gpus.missing.empty()) return make_cuda_backend(options, config, communicator, gpus);
  if (options.device == "cuda") throw mpi::SharedError(core::ExitCode::unsupported, "--device cuda: " + gpus.missing);
  say(communicator, fmt::format("--device auto takes the cpu: {}", gpus.missing));
  return make_cpu_backend(options, config, communicator);
}

}  // namespace ep::bench

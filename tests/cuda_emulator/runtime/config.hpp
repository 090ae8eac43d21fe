#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ep::emulator {

/// Order in which the threads of a block run between two scheduling points.
enum class ThreadOrder : std::uint8_t { mixed, sequential, reversed, random, warp };

/// When enqueued work runs: at random; at once; or only when the host waits for it.
enum class StreamOrder : std::uint8_t { random, eager, lazy };

/// Which call fails, counted from 1; 0: none.
struct Faults {
  std::uint64_t allocation = 0;
  std::uint64_t launch = 0;         // the launch returns an error
  std::uint64_t kernel = 0;         // the kernel fails while it runs: every later call reports it
  std::uint64_t nccl = 0;           // the NCCL call returns an error
  std::uint64_t nccl_transfer = 0;  // the ncclSend or ncclRecv returns an error, and so does the end of its group
  std::uint64_t nccl_async = 0;     // the NCCL operation never ends and the communicator reports an error
  std::uint64_t cublas = 0;
  std::uint64_t absent = 0;  // the rank stays for ever in front of this NCCL group
  int rank = -1;             // only this rank of MPI_COMM_WORLD; -1: every rank
};

/// What the EP_EMU_ environment variables say; the README lists them.
struct Config {
  std::uint64_t seed = 1;
  ThreadOrder threads = ThreadOrder::mixed;
  StreamOrder streams = StreamOrder::random;
  bool keep_going = false;
  bool check_initialised = true;
  bool require_cublas_workspace = true;
  bool cuda_aware_mpi = false;
  bool refuse_registration = false;
  std::string refuse_grouped_gemm;  // "fp32" or "bf16": cuBLAS has no grouped GEMMs of such matrices
  bool stream_wait_values = true;
  bool expect_eager = false;        // CUDA must be told to load kernels at once before it starts
  std::uint32_t preempt_every = 0;  // checked build: every n-th access lets another thread run; 0: never
  std::uint32_t in_progress_percent = 50;
  int nccl_version = 0;  // 0: that of nccl.h
  int device_count = 8;  // 0: no device; -1: no driver
  std::size_t device_bytes = std::size_t{4} << 30;
  double timeout_s = 60;
  double idle_ms = 200;
  std::vector<std::string> uuids;
  Faults faults;
};

/// Read from the environment on the first call. Tests of the emulator may change it.
Config& config();

/// With `expect_eager`, fails unless the environment holds what CUDA reads when `starter` starts it.
void check_environment_of_cuda(const char* starter);

/// Rank in MPI_COMM_WORLD as the launcher's environment gives it; 0 without a launcher.
int launcher_rank();

/// Counts a call and says whether it is the `which`-th, which must fail on this rank.
bool fault_due(std::uint64_t which, std::uint64_t& calls);

}  // namespace ep::emulator

// Rows go from and to device memory, by the transports of the cpu device: a CUDA-aware MPI takes either kind of
// address.
//
// Never beside NCCL in one job: an NCCL kernel occupies the GPU until its peers have started theirs, and a copy that
// MPI makes on this GPU may have to wait for it; where a peer starts only after that copy, both wait for ever (NCCL's
// user guide, "Inter-GPU Communication with CUDA-aware MPI"). A run uses one of the two, and the counts, which always
// go over MPI, lie in host memory.
#include <condition_variable>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/error.hpp"
#include "cuda/gpu.hpp"
#include "cuda/host_signal.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "exchange/cuda_mpi_exchange.hpp"
#include "exchange/tables.hpp"
#include "mpi/device_memory.hpp"

namespace ep::exchange {
namespace {

/// A thread of its own drives MPI, call by call, since a CUDA-aware MPI calls CUDA, which a stream's host function must
/// not, and waits for what it called, which would stop the host. The stream waits for the number of the call.
class CudaAwareExchange final : public CudaMpiExchange {
 public:
  CudaAwareExchange(mpi::Communicator counts, std::unique_ptr<Transport> transport)
      : CudaMpiExchange(std::move(counts), std::move(transport)) {}
  CudaAwareExchange(const CudaAwareExchange&) = delete;
  CudaAwareExchange& operator=(const CudaAwareExchange&) = delete;
  ~CudaAwareExchange() override;
  void all_to_all(device::Stream& comm, const AllToAll& args) override;

 private:
  struct Call {
    std::uint32_t number;
    cuda::UniqueEvent packed;  // the call's alone until the thread has waited for it
    Tables tables;
  };
  cuda::UniqueEvent take_event();
  void serve() noexcept;
  void run(const Call& call);

  cuda::HostSignal ended_;  // the number of the latest call that has ended, well or not
  cuda::UniqueEvent passed_ = cuda::make_order_event();
  std::uint32_t calls_ = 0;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<Call> waiting_;
  std::vector<cuda::UniqueEvent> spare_;
  bool ending_ = false;
  std::thread thread_{[this, gpu = cuda::gpu_in_use()] {
    attempt([gpu] { cuda::share_gpu(gpu); });
    serve();
  }};
};

void CudaAwareExchange::all_to_all(device::Stream& comm, const AllToAll& args) {
  auto* const stream = watched(comm);
  Call call{++calls_, take_event(), Tables(args)};
  cuda::check_cuda(cudaEventRecord(call.packed.get(), stream));
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(call));
  }
  changed_.notify_one();
  ended_.wait(stream, calls_);
  cuda::check_cuda(cudaEventRecord(passed_.get(), stream));
}

/// Events come back when nobody waits for them any more, so there are as many as calls were ever under way at once.
cuda::UniqueEvent CudaAwareExchange::take_event() {
  const std::lock_guard lock(mutex_);
  if (spare_.empty()) return cuda::make_order_event();
  cuda::UniqueEvent event = std::move(spare_.back());
  spare_.pop_back();
  return event;
}

/// Ends each call whatever becomes of it: a stream that waits for a number that never comes could not be cleaned up.
void CudaAwareExchange::serve() noexcept {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Call call = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    attempt([&] { run(call); });
    ended_.raise(call.number);
    lock.lock();
    spare_.push_back(std::move(call.packed));
  }
}

void CudaAwareExchange::run(const Call& call) {
  cuda::check_cuda(cudaEventSynchronize(call.packed.get()));
  transport(call.tables.view());
  cuda::flush_remote_writes();
}

CudaAwareExchange::~CudaAwareExchange() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
  cudaEventSynchronize(passed_.get());  // a stream may still be about to read the number, in memory that goes now
}

}  // namespace

std::string device_rows_refusal() {
  std::string refusal = mpi::device_memory_refusal();
  if (!refusal.empty()) return refusal;
  try {
    const cuda::HostSignal trial;
    return "";
  } catch (const core::Error& error) {
    if (error.code() != core::ExitCode::unsupported) throw;
    return error.what();
  }
}

std::unique_ptr<Exchange> make_cuda_aware_exchange(const mpi::Communicator& communicator, const MpiOptions& options) {
  if (const std::string refusal = mpi::device_memory_refusal(); !refusal.empty())
    throw core::Error(core::ExitCode::unsupported, refusal);
  auto transport = make_transport(communicator, by_messages(options));
  return std::make_unique<CudaAwareExchange>(communicator.duplicate(), std::move(transport));
}

}  // namespace ep::exchange

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "core/clock.hpp"
#include "core/step.hpp"
#include "cuda/error.hpp"
#include "device/cuda_stream.hpp"
#include "exchange/absentees.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "exchange/progress_record.hpp"
#include "exchange/tables.hpp"
#include "nccl/communicator.hpp"

namespace ep::exchange {
namespace {

ncclUniqueId share_id(const mpi::Communicator& communicator) {
  std::string bytes(sizeof(ncclUniqueId), '\0');
  if (communicator.rank() == 0) {
    const ncclUniqueId id = nccl::make_unique_id();
    std::memcpy(bytes.data(), &id, sizeof(id));
  }
  communicator.broadcast(bytes, 0);
  ncclUniqueId id;
  std::memcpy(&id, bytes.data(), sizeof(id));
  return id;
}

std::string ranks_with(std::span<const std::int64_t> rows, int own) {
  std::string peers;
  for (std::size_t r = 0; r < rows.size(); ++r)
    if (rows[r] > 0 && static_cast<int>(r) != own) peers += fmt::format("{}{}", peers.empty() ? "" : ",", r);
  return peers.empty() ? "none" : peers;
}

std::string peers_of(const AllToAll& args, int own) {
  return fmt::format("sending to {}, receiving from {}", ranks_with(args.send_rows, own),
                     ranks_with(args.recv_rows, own));
}

class NcclExchange final : public Exchange {
 public:
  NcclExchange(const mpi::Communicator& communicator, const NcclOptions& options)
      : counts_(communicator.duplicate()),
        absentees_(communicator),
        timeout_s_(options.timeout_s),
        record_(communicator.size()),
        nccl_(share_id(communicator), communicator.size(), communicator.rank(),
              {options.ctas, options.timeout_s, [this] { end_graphs(); }}) {
    connect_all_pairs();
  }

  [[nodiscard]] std::string_view name() const override { return "nccl"; }
  [[nodiscard]] std::string_view algorithm() const override { return "grouped send/recv"; }
  /// NCCL does not say how far it is: an exchange is done with all peers at once, and those under way count as the
  /// last.
  [[nodiscard]] Progress progress() const override {
    Progress progress = record_.snapshot();
    progress.started = started_.load(std::memory_order_relaxed);
    progress.finished = finished_.load(std::memory_order_relaxed);
    if (progress.finished == progress.started) progress.open.clear();
    return progress;
  }

  [[nodiscard]] std::string_view registration() const override { return registration_; }
  device::Buffer allocate_registered(std::int64_t size_bytes);

  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override;
  void all_to_all(device::Stream& comm, const AllToAll& args) override;

 private:
  void connect_all_pairs();
  void begin(const AllToAll& args);
  ncclResult_t issue(cudaStream_t stream, const AllToAll& args);
  void enqueue(cudaStream_t stream, const AllToAll& args);
  void capture(device::CudaStream& stream, const AllToAll& args);
  void mark_end(cudaStream_t stream);
  void end_graphs();
  void watch();
  template <class Call>
  void attempt(Call call);
  [[noreturn]] void give_up(core::ExitCode code, const std::string& message);

  mpi::Communicator counts_;
  Absentees absentees_;
  double timeout_s_;
  ProgressRecord record_;
  std::vector<std::weak_ptr<cuda::UniqueGraphExec>> graphs_;  // that hold exchanges
  nccl::Communicator nccl_;
  cuda::UniqueEvent end_ = cuda::make_order_event();  // of the last exchange
  double enqueued_us_ = 0;
  std::string_view registration_;
  std::string latest_;  // the last exchange in words
  std::atomic<std::int64_t> started_{0};
  std::atomic<std::int64_t> finished_{0};
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);  // for who may outlive it; goes first
};

void NcclExchange::exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) {
  const auto per_peer = static_cast<int>(send.size()) / counts_.size();
  MPI_Request request = MPI_REQUEST_NULL;
  mpi::check_mpi(
      MPI_Ialltoall(send.data(), per_peer, MPI_INT32_T, recv.data(), per_peer, MPI_INT32_T, counts_.get(), &request));
  for (int done = 0; done == 0;) {
    mpi::check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    if (done != 0) break;
    watch();  // a peer that NCCL has lost will not come
    std::this_thread::yield();
  }
}

void NcclExchange::all_to_all(device::Stream& comm, const AllToAll& args) {
  auto* const stream = dynamic_cast<device::CudaStream*>(&comm);
  if (stream == nullptr)
    throw core::Error(core::ExitCode::unsupported, "the nccl exchange moves rows of the cuda device only");
  stream->set_watch([this, alive = std::weak_ptr<const bool>(alive_)] {
    if (!alive.expired()) watch();
  });
  if (stream->capture() != nullptr) return capture(*stream, args);
  begin(args);
  enqueue(stream->get(), args);
  mark_end(stream->get());
}

void NcclExchange::begin(const AllToAll& args) {
  const int own = counts_.rank();
  latest_ = fmt::format("all-to-all {}, {}", started_.load() + 1, peers_of(args, own));
  record_.start(args, own);
  started_.fetch_add(1, std::memory_order_relaxed);
}

void NcclExchange::mark_end(cudaStream_t stream) {
  cuda::check_cuda(cudaEventRecord(end_.get(), stream));
  enqueued_us_ = core::now_us();
}

/// Exchanges of a graph begin all at once, when it is replayed, and count as ended when all of it has: which of them
/// hangs is not to be known.
void NcclExchange::capture(device::CudaStream& stream, const AllToAll& args) {
  latest_ = "an all-to-all of a graph, " + peers_of(args, counts_.rank());
  enqueue(stream.get(), args);
  graphs_.emplace_back(stream.capture()->executable());
  stream.capture()->at_replay([this, raw = stream.get(), tables = Tables(args)] {
    begin(tables.view());
    latest_ = "a graph up to " + latest_;
    mark_end(raw);
  });
}

void NcclExchange::end_graphs() {
  for (const auto& graph : graphs_) {
    if (const auto executable = graph.lock()) executable->reset();
  }
}

/// The first failure, else what the end of the group answers. Whatever fails, the group is closed: it belongs to the
/// thread, and NCCL would take what comes later for a part of it.
ncclResult_t NcclExchange::issue(cudaStream_t stream, const AllToAll& args) {
  const auto bytes = [&](std::int64_t rows) { return static_cast<std::size_t>(rows * args.row_bytes); };
  ncclResult_t failed = ncclGroupStart();
  const auto note = [&](ncclResult_t result) {
    if (failed == ncclSuccess && result != ncclInProgress) failed = result;
  };
  for (int peer = 0; peer < counts_.size(); ++peer) {
    const auto p = static_cast<std::size_t>(peer);
    if (peer == counts_.rank()) continue;
    if (args.send_rows[p] > 0)
      note(ncclSend(args.send + args.send_offsets[p] * args.row_bytes, bytes(args.send_rows[p]), ncclUint8, peer,
                    nccl_.get(), stream));
    if (args.recv_rows[p] > 0)
      note(ncclRecv(args.recv + args.recv_offsets[p] * args.row_bytes, bytes(args.recv_rows[p]), ncclUint8, peer,
                    nccl_.get(), stream));
  }
  const ncclResult_t ended = ncclGroupEnd();
  return failed == ncclSuccess ? ended : failed;
}

void NcclExchange::enqueue(cudaStream_t stream, const AllToAll& args) {
  // Until NCCL has enqueued the group, an event recorded on the stream would come before it.
  attempt([&] { nccl_.settle(issue(stream, args), latest_); });
}

/// NCCL connects two ranks when they first exchange something, and that may synchronise with the GPU: better now than
/// beside kernels. Both ways, which may differ.
void NcclExchange::connect_all_pairs() {
  constexpr std::int64_t kRowBytes = 16;
  const auto ranks = static_cast<std::size_t>(counts_.size());
  const std::vector<std::int64_t> rows(ranks, 1);
  std::vector<std::int64_t> offsets(ranks);
  for (std::size_t r = 0; r < ranks; ++r) offsets[r] = static_cast<std::int64_t>(r);
  const cuda::UniqueStream stream = cuda::make_stream(cuda::Priority::normal);
  const std::size_t bytes = ranks * kRowBytes;
  const cuda::UniqueDeviceMemory send = cuda::allocate_device(bytes);
  const cuda::UniqueDeviceMemory recv = cuda::allocate_device(bytes);
  cuda::check_cuda(cudaMemsetAsync(send.get(), 0, bytes, stream.get()));
  latest_ = "the first exchange of all pairs of ranks";
  enqueue(stream.get(), {static_cast<const std::byte*>(send.get()), static_cast<std::byte*>(recv.get()), rows, offsets,
                         rows, offsets, kRowBytes});
  mark_end(stream.get());
  started_ = 1;
  while (finished_.load(std::memory_order_relaxed) < 1) watch();
  started_ = finished_ = 0;
}

device::Buffer NcclExchange::allocate_registered(std::int64_t size_bytes) {
  const auto memory = std::make_shared<device::Buffer>(allocate_for_nccl(size_bytes));  // goes if registering throws
  void* const registration = nccl_.register_memory(memory->data(), static_cast<std::size_t>(size_bytes));
  registration_ = registration == nullptr || registration_ == "refused" ? "refused" : "granted";
  return {memory->data(), size_bytes, [this, registration, memory](std::byte* /*data*/) {
            nccl_.deregister(registration);
            *memory = device::Buffer();
          }};
}

/// Throws what ends the wait for an exchange: NCCL's own error, or that it takes too long.
void NcclExchange::watch() {
  attempt([&] { nccl_.poll(latest_); });
  const std::int64_t started = started_.load(std::memory_order_relaxed);
  if (finished_.load(std::memory_order_relaxed) == started) return;
  const cudaError_t state = cudaEventQuery(end_.get());
  if (state == cudaSuccess) return finished_.store(started, std::memory_order_relaxed);
  if (state != cudaErrorNotReady) cuda::check_cuda(state);
  if (core::now_us() - enqueued_us_ < timeout_s_ * 1e6) return;
  give_up(core::ExitCode::timeout, fmt::format("NCCL: {}: no end after {} s", latest_, timeout_s_));
}

/// Has what NCCL says of the latest exchange name the ranks that are missing, too.
template <class Call>
void NcclExchange::attempt(Call call) {
  try {
    call();
  } catch (const core::Error& error) {
    give_up(error.code(), error.what());
  }
}

void NcclExchange::give_up(core::ExitCode code, const std::string& message) {
  core::enter_step("looking for the ranks that are missing");
  const Absentees::Found absent = absentees_.find(started_.load(std::memory_order_relaxed));
  nccl_.abort();
  // One rank speaks for all, which ends the job; the others do if it cannot.
  if (!absent.first_here) std::this_thread::sleep_for(std::chrono::seconds(2));
  throw core::Error(code, fmt::format("{}; ranks that have not reported reaching it: {}", message, absent.ranks));
}

}  // namespace

std::unique_ptr<Exchange> make_nccl_exchange(const mpi::Communicator& communicator, const NcclOptions& options) {
  return std::make_unique<NcclExchange>(communicator, options);
}

device::Buffer allocate_registered(Exchange& exchange, std::int64_t size_bytes) {
  auto* const nccl = dynamic_cast<NcclExchange*>(&exchange);
  if (nccl == nullptr) throw core::Error(core::ExitCode::unsupported, "only the nccl exchange registers buffers");
  return nccl->allocate_registered(size_bytes);
}

device::Buffer allocate_for_nccl(std::int64_t size_bytes) {
  auto* const data = static_cast<std::byte*>(nccl::allocate(static_cast<std::size_t>(size_bytes)));
  return {data, size_bytes, [](std::byte* bytes) { nccl::release(bytes); }};
}

}  // namespace ep::exchange

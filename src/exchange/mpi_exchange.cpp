#include <memory>
#include <utility>
#include <vector>

#include <climits>

#include "device/cpu_stream.hpp"
#include "exchange/requests.hpp"
#include "exchange/transport.hpp"
#include "mpi/topology.hpp"

namespace ep::exchange {
namespace {

/// The tables of an AllToAll, kept until its turn comes.
struct Tables {
  explicit Tables(const AllToAll& given)
      : args(given),
        send_rows(given.send_rows.begin(), given.send_rows.end()),
        send_offsets(given.send_offsets.begin(), given.send_offsets.end()),
        recv_rows(given.recv_rows.begin(), given.recv_rows.end()),
        recv_offsets(given.recv_offsets.begin(), given.recv_offsets.end()) {}

  [[nodiscard]] AllToAll view() const {
    AllToAll own = args;
    own.send_rows = send_rows;
    own.send_offsets = send_offsets;
    own.recv_rows = recv_rows;
    own.recv_offsets = recv_offsets;
    return own;
  }

  AllToAll args;
  std::vector<std::int64_t> send_rows;
  std::vector<std::int64_t> send_offsets;
  std::vector<std::int64_t> recv_rows;
  std::vector<std::int64_t> recv_offsets;
};

std::int64_t sum_except(std::span<const std::int64_t> rows, int own) {
  std::int64_t sum = 0;
  for (std::size_t r = 0; r < rows.size(); ++r)
    if (static_cast<int>(r) != own) sum += rows[r];
  return sum;
}

class MpiExchange : public Exchange {
 public:
  MpiExchange(mpi::Communicator counts, int rank, std::unique_ptr<Transport> transport)
      : counts_(std::move(counts)), rank_(rank), transport_(std::move(transport)) {}

  [[nodiscard]] std::string_view name() const override { return "mpi"; }
  [[nodiscard]] std::string_view algorithm() const override { return transport_->algorithm(); }
  [[nodiscard]] Progress progress() const override { return progress_.snapshot(); }

  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    const auto per_peer = static_cast<int>(send.size()) / counts_.size();
    Requests requests;
    requests.reset(1);
    mpi::check_mpi(MPI_Ialltoall(send.data(), per_peer, MPI_INT32_T, recv.data(), per_peer, MPI_INT32_T, counts_.get(),
                                 &requests[0]));
    ProgressRecord unwatched;
    while (!requests.wait(kPollWithinNodeUs, unwatched, [](std::size_t) { return -1; }).empty()) {
    }
  }

  void all_to_all(device::Stream& comm, const AllToAll& args) override {
    auto* stream = dynamic_cast<device::CpuStream*>(&comm);
    if (stream == nullptr)
      throw core::Error(core::ExitCode::unsupported, "the mpi exchange moves rows of the cpu device only");
    stream->enqueue([this, tables = std::make_shared<const Tables>(args)] { run(tables->view()); });
  }

 private:
  void run(const AllToAll& args) {
    progress_.start(sum_except(args.send_rows, rank_) * args.row_bytes,
                    sum_except(args.recv_rows, rank_) * args.row_bytes);
    transport_->run(args, progress_);
    progress_.finish();
  }

  mpi::Communicator counts_;  // apart from the rows: the host exchanges counts while rows are under way
  int rank_;
  std::unique_ptr<Transport> transport_;
  ProgressRecord progress_;
};

void require_thread_multiple() {
  int provided = MPI_THREAD_SINGLE;
  mpi::check_mpi(MPI_Query_thread(&provided));
  if (provided != MPI_THREAD_MULTIPLE)
    throw core::Error(core::ExitCode::unsupported,
                      "the MPI library did not grant MPI_THREAD_MULTIPLE, which the mpi exchange needs: a stream's "
                      "thread and the host call MPI at the same time; use an MPI built with thread support (Open MPI: "
                      "ompi_info must say 'MPI_THREAD_MULTIPLE: yes')");
}

void check_window(const Window& window, std::string_view tier) {
  if (window.fragment_bytes < 0)
    throw core::InputError(tier, "fragment bytes", std::to_string(window.fragment_bytes), "0 or more");
  if (window.in_flight < 0) throw core::InputError(tier, "window", std::to_string(window.in_flight), "0 or more");
  if (window.ahead < 1) throw core::InputError(tier, "fragments ahead", std::to_string(window.ahead), "1 or more");
}

}  // namespace

std::unique_ptr<Exchange> make_mpi_exchange(const mpi::Communicator& communicator, const MpiOptions& options) {
  require_thread_multiple();
  if (options.algorithm != "windowed" && options.algorithm != "ialltoallv")
    throw core::InputError("mpi exchange", "algorithm", options.algorithm, "windowed or ialltoallv");
  check_window(options.in_node, "within a node");
  check_window(options.between_nodes, "between nodes");
  if (options.max_message_bytes < 1 || options.max_message_bytes > INT_MAX)
    throw core::InputError("mpi exchange", "message bytes", std::to_string(options.max_message_bytes), "1 to 2^31 - 1");

  MpiOptions known = options;
  if (known.node_of_rank.empty()) known.node_of_rank = mpi::node_of_rank(communicator);
  mpi::Communicator rows = communicator.duplicate();
  auto transport =
      known.algorithm == "windowed" ? make_windowed(std::move(rows), known) : make_ialltoallv(std::move(rows), known);
  return std::make_unique<MpiExchange>(communicator.duplicate(), communicator.rank(), std::move(transport));
}

}  // namespace ep::exchange

#include "exchange/transport.hpp"

#include <string>
#include <utility>

#include <climits>

#include "exchange/backoff.hpp"
#include "exchange/requests.hpp"
#include "mpi/topology.hpp"

namespace ep::exchange {
namespace {

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

std::unique_ptr<Transport> make_transport(const mpi::Communicator& communicator, const MpiOptions& options) {
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
  return known.algorithm == "windowed" ? make_windowed(std::move(rows), known)
                                       : make_ialltoallv(std::move(rows), known);
}

void exchange_counts_over(const mpi::Communicator& communicator, std::span<const std::int32_t> send,
                          std::span<std::int32_t> recv) {
  const auto per_peer = static_cast<int>(send.size()) / communicator.size();
  Requests requests;
  requests.reset(1);
  mpi::check_mpi(MPI_Ialltoall(send.data(), per_peer, MPI_INT32_T, recv.data(), per_peer, MPI_INT32_T,
                               communicator.get(), &requests[0]));
  while (!requests.wait(kWithinNode).empty()) {
  }
}

}  // namespace ep::exchange

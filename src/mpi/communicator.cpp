#include "mpi/communicator.hpp"

#include <algorithm>
#include <exception>
#include <numeric>

#include <climits>

#include "core/step.hpp"

namespace ep::mpi {

void check_mpi(int code, core::SourceLocation where) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw core::Error(core::ExitCode::communication,
                    fmt::format("MPI: {} ({}:{})", std::string_view(text, static_cast<std::size_t>(length)),
                                where.file_name(), where.line()));
}

void CommPolicy::close(Handle comm) noexcept {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0 && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm);
}

Communicator::Communicator(MPI_Comm comm) : comm_(comm) {
  check_mpi(MPI_Comm_rank(comm_, &rank_));
  check_mpi(MPI_Comm_size(comm_, &size_));
}

Communicator Communicator::world() {
  return Communicator(MPI_COMM_WORLD);
}

Communicator Communicator::duplicate() const {
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(comm_, &copy));
  core::UniqueHandle<CommPolicy> owned(copy);
  Communicator result(copy);
  result.owned_ = std::move(owned);
  return result;
}

void Communicator::barrier() const {
  core::enter_step("barrier");
  check_mpi(MPI_Barrier(comm_));
}

void Communicator::broadcast(std::string& bytes, int root) const {
  core::enter_step("broadcast");
  auto size = static_cast<std::uint64_t>(bytes.size());
  broadcast_value(size, root);
  bytes.resize(size);
  constexpr std::uint64_t kPiece = 1U << 30;  // MPI counts are int; a routing file may hold more
  for (std::uint64_t done = 0; done < size; done += kPiece)
    check_mpi(MPI_Bcast(bytes.data() + done, static_cast<int>(std::min(kPiece, size - done)), MPI_BYTE, root, comm_));
}

std::vector<std::string> Communicator::gather_all(const std::string& mine) const {
  core::enter_step("gathering from all ranks");
  const auto ranks = static_cast<std::size_t>(size_);
  const auto length = static_cast<std::int64_t>(mine.size());
  std::vector<std::int64_t> lengths(ranks);
  check_mpi(MPI_Allgather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, comm_));
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  if (total > INT_MAX) throw core::Error(core::ExitCode::internal, "gather_all: strings of 2 GiB or more in all");

  const std::vector<int> counts(lengths.begin(), lengths.end());
  std::vector<int> offsets(ranks);
  std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
  std::string all(static_cast<std::size_t>(total), '\0');
  check_mpi(MPI_Allgatherv(mine.data(), static_cast<int>(length), MPI_BYTE, all.data(), counts.data(), offsets.data(),
                           MPI_BYTE, comm_));
  std::vector<std::string> result(ranks);
  for (std::size_t r = 0; r < ranks; ++r)
    result[r] = all.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(counts[r]));
  return result;
}

std::vector<double> Communicator::gather_all(std::span<const double> mine) const {
  core::enter_step("gathering from all ranks");
  const auto count = static_cast<int>(mine.size());
  std::vector<double> all(mine.size() * static_cast<std::size_t>(size_));
  check_mpi(MPI_Allgather(mine.data(), count, MPI_DOUBLE, all.data(), count, MPI_DOUBLE, comm_));
  return all;
}

double Communicator::max(double mine) const {
  core::enter_step("maximum over ranks");
  double result = mine;
  check_mpi(MPI_Allreduce(&mine, &result, 1, MPI_DOUBLE, MPI_MAX, comm_));
  return result;
}

}  // namespace ep::mpi

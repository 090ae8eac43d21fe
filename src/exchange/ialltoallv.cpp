#include <algorithm>
#include <vector>

#include <climits>

#include "exchange/pairing.hpp"
#include "exchange/requests.hpp"
#include "exchange/transport.hpp"

namespace ep::exchange {
namespace {

constexpr int kSurplusTag = 1;

/// Owns the datatype of one row, so that counts and offsets are in rows and stay within an int.
struct TypePolicy {
  using Handle = MPI_Datatype;
  static Handle null() { return MPI_DATATYPE_NULL; }
  static void close(Handle type) noexcept {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Type_free(&type);  // local: safe at any other time
  }
};

int as_int(std::int64_t value) {
  if (value > INT_MAX)
    throw core::Error(core::ExitCode::unsupported,
                      fmt::format("ialltoallv: row offset {} does not fit MPI's int; use windowed", value));
  return static_cast<int>(value);
}

/// MPI_Ialltoallv as the MPI library has it. What a pair has beyond `max_message_bytes` follows in messages of its own:
/// unlike further collective calls these need no agreement on how many there are.
class Ialltoallv : public Transport {
 public:
  Ialltoallv(mpi::Communicator communicator, const MpiOptions& options)
      : communicator_(std::move(communicator)),
        max_message_bytes_(options.max_message_bytes),
        patience_(remote_order(communicator_.rank(), options.node_of_rank).empty() ? kWithinNode : kBetweenNodes) {}

  [[nodiscard]] std::string_view algorithm() const override { return "ialltoallv"; }
  void run(const AllToAll& args, ProgressRecord& progress) override;

 private:
  struct Piece {
    int rank;
    bool sends;
    std::int64_t first_row;
    int rows;
  };
  struct Table {
    std::vector<int> rows;
    std::vector<int> offsets;
  };

  void use_row_bytes(std::int64_t row_bytes);
  Table head(std::span<const std::int64_t> rows, std::span<const std::int64_t> offsets) const;
  void add_tail(std::span<const std::int64_t> rows, std::span<const std::int64_t> offsets, bool sends);
  void start(const AllToAll& args);
  void finish(std::size_t place, ProgressRecord& progress) const;

  mpi::Communicator communicator_;
  std::int64_t max_message_bytes_;
  Patience patience_;
  core::UniqueHandle<TypePolicy> row_type_;
  std::int64_t row_bytes_ = 0;
  std::int64_t max_rows_ = 0;  // a message
  Table send_;
  Table recv_;
  std::vector<Piece> tail_;
  Requests requests_;
};

void Ialltoallv::use_row_bytes(std::int64_t row_bytes) {
  if (row_bytes == row_bytes_) return;
  MPI_Datatype type = MPI_DATATYPE_NULL;
  mpi::check_mpi(MPI_Type_contiguous(as_int(row_bytes), MPI_BYTE, &type));
  row_type_.reset(type);
  mpi::check_mpi(MPI_Type_commit(&type));
  row_bytes_ = row_bytes;
  max_rows_ = std::clamp<std::int64_t>(max_message_bytes_ / row_bytes, 1, INT_MAX);
}

Ialltoallv::Table Ialltoallv::head(std::span<const std::int64_t> rows, std::span<const std::int64_t> offsets) const {
  Table table{std::vector<int>(rows.size()), std::vector<int>(rows.size())};
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (static_cast<int>(r) == communicator_.rank() || rows[r] == 0) continue;  // the own rows are in place already
    table.rows[r] = static_cast<int>(std::min(rows[r], max_rows_));
    table.offsets[r] = as_int(offsets[r]);
  }
  return table;
}

void Ialltoallv::add_tail(std::span<const std::int64_t> rows, std::span<const std::int64_t> offsets, bool sends) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (static_cast<int>(r) == communicator_.rank()) continue;
    for (std::int64_t done = max_rows_; done < rows[r]; done += max_rows_)
      tail_.push_back(
          {static_cast<int>(r), sends, offsets[r] + done, static_cast<int>(std::min(max_rows_, rows[r] - done))});
  }
}

void Ialltoallv::start(const AllToAll& args) {
  MPI_Comm comm = communicator_.get();
  MPI_Datatype type = row_type_.get();
  for (std::size_t i = 0; i < tail_.size(); ++i) {
    const Piece& piece = tail_[i];
    if (piece.sends)
      mpi::check_mpi(MPI_Isend(args.send + piece.first_row * row_bytes_, piece.rows, type, piece.rank, kSurplusTag,
                               comm, &requests_[1 + i]));
    else
      mpi::check_mpi(MPI_Irecv(args.recv + piece.first_row * row_bytes_, piece.rows, type, piece.rank, kSurplusTag,
                               comm, &requests_[1 + i]));
  }
  mpi::check_mpi(MPI_Ialltoallv(args.send, send_.rows.data(), send_.offsets.data(), type, args.recv, recv_.rows.data(),
                                recv_.offsets.data(), type, comm, &requests_[0]));
}

void Ialltoallv::finish(std::size_t place, ProgressRecord& progress) const {
  if (place > 0) {
    const Piece& piece = tail_[place - 1];
    if (piece.sends)
      progress.sent(piece.rank, piece.rows * row_bytes_);
    else
      progress.received(piece.rank, piece.rows * row_bytes_);
    return;
  }
  // The collective does not say how far it is: it is done with all peers at once.
  for (std::size_t r = 0; r < send_.rows.size(); ++r) {
    progress.sent(static_cast<int>(r), send_.rows[r] * row_bytes_);
    progress.received(static_cast<int>(r), recv_.rows[r] * row_bytes_);
  }
}

void Ialltoallv::run(const AllToAll& args, ProgressRecord& progress) {
  use_row_bytes(args.row_bytes);
  send_ = head(args.send_rows, args.send_offsets);
  recv_ = head(args.recv_rows, args.recv_offsets);
  tail_.clear();
  add_tail(args.recv_rows, args.recv_offsets, false);
  add_tail(args.send_rows, args.send_offsets, true);
  requests_.reset(1 + tail_.size());
  start(args);
  for (auto batch = requests_.wait(patience_); !batch.empty(); batch = requests_.wait(patience_))
    for (const auto& [place, status] : batch) finish(place, progress);
}

}  // namespace

std::unique_ptr<Transport> make_ialltoallv(mpi::Communicator communicator, const MpiOptions& options) {
  return std::make_unique<Ialltoallv>(std::move(communicator), options);
}

}  // namespace ep::exchange

#include "exchange/neighbours.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "core/affinity.hpp"
#include "exchange/pairing.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::exchange {
namespace {

/// What is copied before the network is looked at again: some 20 us.
constexpr std::int64_t kPieceBytes = 256 << 10;

/// A rank that receives as much in one exchange stores it past its caches, which would not hold it until it is read:
/// about where the two ways meet on two processors whose second-level caches differ by two, and where two ranks share a
/// core (docs/performance.md). @pre collective
std::int64_t streamed_bytes(const mpi::Communicator& communicator, std::span<const int> node_of_rank) {
  const std::vector<std::string> cores = communicator.gather_all(core::core_list());
  const auto own = static_cast<std::size_t>(communicator.rank());
  std::int64_t sharers = 0;
  for (std::size_t rank = 0; rank < cores.size(); ++rank)
    sharers += node_of_rank[rank] == node_of_rank[own] && cores[rank] == cores[own] ? 1 : 0;
  return 12 * kernels::second_level_cache_bytes() / std::max<std::int64_t>(1, sharers / core::core_count());
}

/// Place of a rank among those of its node.
std::int64_t place_on_node(int rank, std::span<const int> node_of_rank) {
  const auto before = node_of_rank.first(static_cast<std::size_t>(rank));
  return std::count(before.begin(), before.end(), node_of_rank[static_cast<std::size_t>(rank)]);
}

}  // namespace

/// What one rank tells another, in the memory of the one that is told; a cache line for each of the two things, since
/// they belong to opposite directions. Numbers count from 1, for each pair and direction.
struct Neighbours::Line {
  struct alignas(64) Offer {
    std::atomic<std::uint64_t> number{0};  // stored last: what follows belongs to it
    std::int64_t size_bytes = 0;
    device::SharedPlace place;
  };
  Offer offer;
  alignas(64) std::atomic<std::uint64_t> taken{0};  // number of the latest offer that has been copied
};

struct Neighbours::Neighbour {
  int rank = 0;
  Line* hears = nullptr;  // in own memory
  Line* tells = nullptr;  // in its memory
  std::unique_ptr<device::SharedMapping> lines;
  std::vector<std::unique_ptr<device::SharedMapping>> rows;  // its buffers that were mapped so far

  std::uint64_t offered = 0;  // number of the latest offer to it
  std::uint64_t copied = 0;   // number of the latest of its offers that was copied
  std::int64_t to_send_bytes = 0;
  std::int64_t to_receive_bytes = 0;
  const std::byte* from = nullptr;  // null: not offered yet
  std::byte* to = nullptr;
};

Neighbours::Neighbours(const mpi::Communicator& communicator, std::span<const int> node_of_rank)
    : rank_(communicator.rank()), streamed_bytes_(streamed_bytes(communicator, node_of_rank)) {
  const std::string refusal = connect(communicator, node_of_rank);
  const std::vector<std::string> refusals = communicator.gather_all(refusal);
  const auto first = std::find_if(refusals.begin(), refusals.end(), [](const auto& each) { return !each.empty(); });
  if (first != refusals.end()) refusal_ = fmt::format("rank {}: {}", first - refusals.begin(), *first);
}

Neighbours::~Neighbours() = default;

/// Why this rank cannot; empty when it can.
std::string Neighbours::connect(const mpi::Communicator& communicator, std::span<const int> node_of_rank) {
  constexpr auto kLineBytes = static_cast<std::int64_t>(sizeof(Line));
  const std::vector<int> ranks = local_order(rank_, node_of_rank);
  const auto lines = static_cast<std::int64_t>(ranks.size()) + 1;
  std::string refusal;
  const auto attempt = [&](auto&& work) {
    try {
      work();
    } catch (const core::Error& error) {
      if (error.code() != core::ExitCode::unsupported) throw;
      refusal = error.what();
    }
  };
  attempt([&] { lines_ = device::allocate_shared(lines * kLineBytes); });
  const device::SharedPlace own = device::find_shared(lines_.data()).value_or(device::SharedPlace{});
  // All of them before anyone knows where they are: none is made anew after it was told something.
  for (std::int64_t i = 0; i < lines && refusal.empty(); ++i) new (lines_.data() + i * kLineBytes) Line;
  const std::vector<std::string> places =
      communicator.gather_all(std::string(reinterpret_cast<const char*>(&own), sizeof(own)));
  const auto line_in = [](std::byte* memory, std::int64_t index) {
    return std::launder(reinterpret_cast<Line*>(memory + index * kLineBytes));
  };
  for (const int rank : ranks) {
    device::SharedPlace place;
    std::memcpy(&place, places[static_cast<std::size_t>(rank)].data(), sizeof(place));
    if (!refusal.empty() || place.size_bytes == 0) continue;  // that rank says why it has none
    attempt([&] {
      Neighbour neighbour;
      neighbour.rank = rank;
      neighbour.lines = std::make_unique<device::SharedMapping>(place, true);
      neighbour.hears = line_in(lines_.data(), place_on_node(rank, node_of_rank));
      neighbour.tells = line_in(neighbour.lines->data(), place_on_node(rank_, node_of_rank));
      neighbours_.push_back(std::move(neighbour));
    });
  }
  return refusal;
}

void Neighbours::start(const AllToAll& args) {
  open_ = 0;
  std::int64_t received_bytes = 0;
  for (Neighbour& neighbour : neighbours_) {
    const auto r = static_cast<std::size_t>(neighbour.rank);
    neighbour.to_send_bytes = args.send_rows[r] * args.row_bytes;
    neighbour.to_receive_bytes = args.recv_rows[r] * args.row_bytes;
    neighbour.from = nullptr;
    neighbour.to = args.recv + args.recv_offsets[r] * args.row_bytes;
    open_ += neighbour.to_receive_bytes > 0 ? 1 : 0;
    received_bytes += neighbour.to_receive_bytes;
    if (neighbour.to_send_bytes == 0) continue;
    const auto place = device::find_shared(args.send + args.send_offsets[r] * args.row_bytes);
    if (!place || place->offset + neighbour.to_send_bytes > place->size_bytes)
      throw core::Error(core::ExitCode::internal,
                        "rows to be sent are not in one buffer of MemoryUse::send that is shared");
    ++open_;
    Line::Offer& offer = neighbour.tells->offer;
    offer.place = *place;
    offer.size_bytes = neighbour.to_send_bytes;
    offer.number.store(++neighbour.offered, std::memory_order_release);
  }
  streams_ = received_bytes >= streamed_bytes_;
}

bool Neighbours::advance(ProgressRecord& progress) {
  bool moved = false;
  for (Neighbour& neighbour : neighbours_) {
    if (neighbour.to_send_bytes == 0 || neighbour.hears->taken.load(std::memory_order_acquire) != neighbour.offered)
      continue;
    progress.sent(neighbour.rank, neighbour.to_send_bytes);
    neighbour.to_send_bytes = 0;
    --open_;
    moved = true;
  }
  std::int64_t left = kPieceBytes;
  for (std::size_t i = 0; i < neighbours_.size() && left > 0; ++i) {
    Neighbour& neighbour = neighbours_[next_];
    next_ = (next_ + 1) % neighbours_.size();
    if (neighbour.to_receive_bytes == 0 ||
        neighbour.hears->offer.number.load(std::memory_order_acquire) != neighbour.copied + 1)
      continue;
    left -= receive(neighbour, left, progress);
    moved = true;
  }
  return moved;
}

/// The bytes it copied. @pre there are rows that were offered
std::int64_t Neighbours::receive(Neighbour& neighbour, std::int64_t most_bytes, ProgressRecord& progress) {
  const Line::Offer& offer = neighbour.hears->offer;
  const auto take = [&] { neighbour.tells->taken.store(++neighbour.copied, std::memory_order_release); };
  if (neighbour.from == nullptr) {
    if (offer.size_bytes != neighbour.to_receive_bytes) {
      take();  // the sender has done what it should
      throw core::Error(core::ExitCode::communication,
                        fmt::format("rank {} sent {} bytes where rank {} expects {}", neighbour.rank, offer.size_bytes,
                                    rank_, neighbour.to_receive_bytes));
    }
    neighbour.from = rows_at(neighbour, offer.place);
  }
  const std::int64_t piece = std::min(most_bytes, neighbour.to_receive_bytes);
  if (streams_)
    kernels::stream_copy(neighbour.to, neighbour.from, piece);
  else
    std::memcpy(neighbour.to, neighbour.from, static_cast<std::size_t>(piece));
  neighbour.to += piece;
  neighbour.from += piece;
  neighbour.to_receive_bytes -= piece;
  progress.received(neighbour.rank, piece);
  if (neighbour.to_receive_bytes > 0) return piece;
  if (streams_) kernels::stream_fence();
  neighbour.from = nullptr;
  take();
  --open_;
  return piece;
}

const std::byte* Neighbours::rows_at(Neighbour& neighbour, const device::SharedPlace& place) {
  const auto known = std::find_if(neighbour.rows.rbegin(), neighbour.rows.rend(),
                                  [&](const auto& mapping) { return mapping->serial() == place.serial; });
  if (known != neighbour.rows.rend()) return (*known)->data() + place.offset;
  // A buffer is new: its like that went before it need no longer be mapped. One that is being copied from has gone only
  // if its rank is about to end the job, and says why.
  for (Neighbour& each : neighbours_) {
    if (each.from != nullptr) continue;
    each.rows.erase(std::remove_if(each.rows.begin(), each.rows.end(), [](const auto& one) { return !one->alive(); }),
                    each.rows.end());
  }
  neighbour.rows.push_back(std::make_unique<device::SharedMapping>(place));
  return neighbour.rows.back()->data() + place.offset;
}

}  // namespace ep::exchange

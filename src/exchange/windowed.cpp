#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "exchange/neighbours.hpp"
#include "exchange/pairing.hpp"
#include "exchange/requests.hpp"
#include "exchange/transport.hpp"

namespace ep::exchange {
namespace {

constexpr int kFragmentTag = 1;

/// A message goes in so many fragments, unless they would be shorter than that or longer than the window has them: few
/// leave the link idle at both ends of the message, while two ranks wait for each other; many cost the core that
/// computes beside the exchange (docs/performance.md has both).
constexpr std::int64_t kFragments = 16;
constexpr std::int64_t kShortFragmentBytes = 16 * 1024;

/// One direction of one pair of ranks: a message and how far its fragments have come.
template <class Byte>
struct Flow {
  Byte* data = nullptr;
  std::int64_t size_bytes = 0;
  std::int64_t fragments = 0;  // the last ones may be empty: answers, that the other side's step needs
  std::int64_t started_bytes = 0;
  std::int64_t fragments_started = 0;
  std::int64_t fragments_done = 0;

  [[nodiscard]] bool all_started() const { return fragments_started == fragments; }
  [[nodiscard]] bool open() const { return fragments_started > fragments_done; }
  /// Others are under way while one is awaited, and others to come after those.
  [[nodiscard]] bool far_from_done(int ahead) const {
    return fragments_started > fragments_done + 1 && fragments > fragments_done + 2 * ahead;
  }
};

struct Peer {
  int rank = 0;
  const Window* window = nullptr;
  std::int64_t fragment_bytes = 0;
  std::size_t first_place = 0;  // of its requests: receives, then sends
  Flow<const std::byte> send;
  Flow<std::byte> recv;

  /// A receive is always posted for what the partner sends next: of what this rank has not received yet it may have
  /// sent `ahead` without an answer, and as many again that answer fragments still on their way to it.
  [[nodiscard]] std::size_t receive_places() const { return places_for(recv.fragments, 2 * window->ahead); }
  [[nodiscard]] std::size_t places() const { return receive_places() + places_for(send.fragments, window->ahead); }
  [[nodiscard]] static std::size_t places_for(std::int64_t fragments, std::int64_t most) {
    return static_cast<std::size_t>(std::min(most, fragments));
  }

  [[nodiscard]] std::int64_t fragments_of(std::int64_t bytes) const {
    return (bytes + fragment_bytes - 1) / fragment_bytes;
  }
  /// How many fragments go either way, which both ranks know. In step, the rank that has less to send goes on with
  /// empty ones for as long as the other's step needs them.
  void count_fragments() {
    const std::int64_t sent = fragments_of(send.size_bytes);
    const std::int64_t received = fragments_of(recv.size_bytes);
    const std::int64_t unanswered = window->in_flight > 0 ? window->ahead : std::max(sent, received);
    send.fragments = std::max(sent, received - unanswered);
    recv.fragments = std::max(received, sent - unanswered);
  }

  /// The step between two ranks: fragment k goes out once fragment k - ahead has come in. So both directions share the
  /// line evenly, and what is on its way stays within a few fragments whatever a sender's own buffers would take.
  [[nodiscard]] bool may_send() const {
    const bool in_step = send.fragments_started < recv.fragments_done + window->ahead;
    return !send.all_started() && (in_step || window->in_flight == 0);
  }
  [[nodiscard]] bool next_is_empty() const { return send.started_bytes == send.size_bytes; }
  [[nodiscard]] bool rows_under_way() const {
    return send.fragments_done < std::min(send.fragments_started, fragments_of(send.size_bytes));
  }
};

/// No deadlock is possible. A receive for the next fragment from every peer is always posted, whatever the round, so a
/// send that was started ends; sending is held back only by sends under way, which end, and by the step between two
/// ranks, in which the one that has sent less is always free to send. Neighbours that need no messages have all been
/// told where their rows lie before anybody waits, and whoever waits copies what is there for it.
class Windowed : public Transport {
 public:
  Windowed(mpi::Communicator communicator, const MpiOptions& options)
      : communicator_(std::move(communicator)),
        options_(options),
        local_(local_order(communicator_.rank(), options.node_of_rank)),
        remote_(remote_order(communicator_.rank(), options.node_of_rank)) {
    if (!options.direct_in_node) return;
    neighbours_.emplace(communicator_, options.node_of_rank);
    const std::string refusal = neighbours_->refusal();
    if (!refusal.empty()) neighbours_.reset();
    const std::set<int> nodes(options.node_of_rank.begin(), options.node_of_rank.end());
    share_nodes_ = std::ssize(nodes) < communicator_.size();
    if (local_.empty()) return;
    within_node_ = refusal.empty() ? "copied by the receiver, straight from the sender's memory"
                                   : fmt::format("MPI messages ({})", refusal);
  }

  [[nodiscard]] std::string_view algorithm() const override { return "windowed"; }
  [[nodiscard]] bool reads_senders_memory() const override { return neighbours_ && share_nodes_; }
  [[nodiscard]] std::string_view within_node() const override { return within_node_; }
  void run(const AllToAll& args, ProgressRecord& progress) override;

 private:
  void add_peers(const AllToAll& args, const std::vector<int>& ranks, const Window& window);
  void lay_out_requests();
  void receive(Peer& peer, std::size_t place);
  void send(Peer& peer, std::size_t place);
  void send_more(std::span<Peer> tier);
  std::span<const Requests::Finished> wait(ProgressRecord& progress);
  void finish(std::size_t place, const MPI_Status& status, ProgressRecord& progress);

  mpi::Communicator communicator_;
  MpiOptions options_;
  std::vector<int> local_;
  std::vector<int> remote_;
  std::optional<Neighbours> neighbours_;  // for rows of the own node; none: they go through messages too
  bool share_nodes_ = false;              // some ranks do
  std::string within_node_;

  // Of the exchange under way; kept to spare the allocations.
  std::vector<Peer> peers_;  // with traffic; of the own node first, then in the order of rounds
  std::size_t local_peers_ = 0;
  std::vector<std::size_t> peer_of_place_;
  std::vector<std::int64_t> bytes_of_place_;
  Requests requests_;
};

void Windowed::add_peers(const AllToAll& args, const std::vector<int>& ranks, const Window& window) {
  const std::int64_t limit = options_.max_message_bytes;
  for (const int rank : ranks) {
    const auto r = static_cast<std::size_t>(rank);
    Peer peer;
    peer.rank = rank;
    peer.window = &window;
    peer.send.data = args.send + args.send_offsets[r] * args.row_bytes;
    peer.send.size_bytes = args.send_rows[r] * args.row_bytes;
    peer.recv.data = args.recv + args.recv_offsets[r] * args.row_bytes;
    peer.recv.size_bytes = args.recv_rows[r] * args.row_bytes;
    if (peer.send.size_bytes + peer.recv.size_bytes == 0) continue;
    const std::int64_t longer = std::max(peer.send.size_bytes, peer.recv.size_bytes);
    const std::int64_t fitting = std::max(longer / kFragments, kShortFragmentBytes);
    peer.fragment_bytes = window.fragment_bytes == 0 ? limit : std::min({window.fragment_bytes, fitting, limit});
    peer.count_fragments();
    peers_.push_back(peer);
  }
}

void Windowed::lay_out_requests() {
  peer_of_place_.clear();
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    peers_[i].first_place = peer_of_place_.size();
    peer_of_place_.resize(peer_of_place_.size() + peers_[i].places(), i);
  }
  bytes_of_place_.assign(peer_of_place_.size(), 0);
  requests_.reset(peer_of_place_.size());
}

void Windowed::receive(Peer& peer, std::size_t place) {
  const std::int64_t size = std::min(peer.fragment_bytes, peer.recv.size_bytes - peer.recv.started_bytes);
  mpi::check_mpi(MPI_Irecv(peer.recv.data + peer.recv.started_bytes, static_cast<int>(size), MPI_BYTE, peer.rank,
                           kFragmentTag, communicator_.get(), &requests_[place]));
  bytes_of_place_[place] = size;
  peer.recv.started_bytes += size;
  ++peer.recv.fragments_started;
}

void Windowed::send(Peer& peer, std::size_t place) {
  const std::int64_t size = std::min(peer.fragment_bytes, peer.send.size_bytes - peer.send.started_bytes);
  mpi::check_mpi(MPI_Isend(peer.send.data + peer.send.started_bytes, static_cast<int>(size), MPI_BYTE, peer.rank,
                           kFragmentTag, communicator_.get(), &requests_[place]));
  bytes_of_place_[place] = size;
  peer.send.started_bytes += size;
  ++peer.send.fragments_started;
}

/// Gives the window to the first peers in the order of rounds that may be sent to. One that is held back by its step
/// does not keep the line idle: the next takes its turn. Empty fragments take no room in it, and somebody waits for
/// them.
void Windowed::send_more(std::span<Peer> tier) {
  int in_flight = 0;
  for (Peer& peer : tier) {
    const bool full = in_flight > 0 && in_flight == peer.window->in_flight;
    for (std::size_t p = peer.receive_places(); p < peer.places(); ++p) {
      if (!peer.may_send() || (full && !peer.next_is_empty())) break;
      if (requests_.empty(peer.first_place + p)) send(peer, peer.first_place + p);
    }
    if (!full && peer.rows_under_way()) ++in_flight;
  }
}

void Windowed::finish(std::size_t place, const MPI_Status& status, ProgressRecord& progress) {
  Peer& peer = peers_[peer_of_place_[place]];
  const std::int64_t expected = bytes_of_place_[place];
  if (place >= peer.first_place + peer.receive_places()) {
    ++peer.send.fragments_done;
    progress.sent(peer.rank, expected);
    return;
  }
  int size = 0;
  mpi::check_mpi(MPI_Get_count(&status, MPI_BYTE, &size));
  if (size != expected)
    throw core::Error(core::ExitCode::communication, fmt::format("rank {} sent {} bytes where rank {} expects {}",
                                                                 peer.rank, size, communicator_.rank(), expected));
  ++peer.recv.fragments_done;
  progress.received(peer.rank, expected);
  if (!peer.recv.all_started()) receive(peer, place);
}

/// Blocks until messages have ended, copying from neighbours meanwhile; none when all is done.
std::span<const Requests::Finished> Windowed::wait(ProgressRecord& progress) {
  for (Backoff backoff(kForNeighbours, 0); neighbours_ && neighbours_->open();) {
    const bool moved = neighbours_->advance(progress);
    if (!peers_.empty()) {
      if (const auto batch = requests_.poll(); !batch.empty()) return batch;
    }
    if (moved)
      backoff = Backoff(kForNeighbours, 0);
    else if (neighbours_->open())
      backoff.pause();
  }
  const auto first_remote = peers_.begin() + static_cast<std::ptrdiff_t>(local_peers_);
  const bool local_open =
      std::any_of(peers_.begin(), first_remote, [](const Peer& peer) { return peer.send.open() || peer.recv.open(); });
  if (local_open) return requests_.wait(kWithinNode);
  // In the middle of a long message the line has enough to do when a fragment is noticed late.
  const bool in_the_middle = std::any_of(first_remote, peers_.end(), [](const Peer& peer) {
    return peer.send.far_from_done(peer.window->ahead) || peer.recv.far_from_done(peer.window->ahead);
  });
  return requests_.wait(in_the_middle ? kForFragments : kBetweenNodes);
}

void Windowed::run(const AllToAll& args, ProgressRecord& progress) {
  peers_.clear();
  if (neighbours_)
    neighbours_->start(args);
  else
    add_peers(args, local_, options_.in_node);
  local_peers_ = peers_.size();
  add_peers(args, remote_, options_.between_nodes);
  lay_out_requests();
  const std::span<Peer> local = std::span(peers_).first(local_peers_);
  const std::span<Peer> remote = std::span(peers_).subspan(local_peers_);

  for (Peer& peer : peers_)
    for (std::size_t p = 0; p < peer.receive_places(); ++p) receive(peer, peer.first_place + p);
  send_more(remote);
  send_more(local);
  for (auto batch = wait(progress); !batch.empty(); batch = wait(progress)) {
    for (const auto& [place, status] : batch) finish(place, status, progress);
    send_more(remote);
    send_more(local);
  }
}

}  // namespace

std::unique_ptr<Transport> make_windowed(mpi::Communicator communicator, const MpiOptions& options) {
  return std::make_unique<Windowed>(std::move(communicator), options);
}

}  // namespace ep::exchange

#include "cuda_emulator/nccl/bootstrap.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "cuda_emulator/mpi/fabric.hpp"
#include "cuda_emulator/runtime/engine.hpp"

namespace ep::emulator {
namespace {

constexpr int kHelloTag = 1;
constexpr int kAnswerTag = 2;

using Words = std::array<std::int64_t, 4>;

void append(std::vector<std::int64_t>& words, const Bootstrap::Member& member) {
  const auto packed = std::bit_cast<Words>(member);
  words.insert(words.end(), packed.begin(), packed.end());
}

Bootstrap::Member member_at(const std::vector<std::int64_t>& words, std::size_t position) {
  Words packed;
  std::copy_n(words.begin() + static_cast<std::ptrdiff_t>(position), packed.size(), packed.begin());
  return std::bit_cast<Bootstrap::Member>(packed);
}

}  // namespace

Bootstrap& Bootstrap::get() {
  static Bootstrap& bootstrap = *new Bootstrap;
  return bootstrap;
}

Bootstrap::Bootstrap() {
  Engine::get().add_service({[this] { return poll(); }, [this] { return pending(); }});
}

void Bootstrap::join(std::uint64_t id, int root_world_rank, int size, const Member& self) {
  std::vector<std::int64_t> hello{static_cast<std::int64_t>(id), size};
  append(hello, self);
  send(std::move(hello), root_world_rank, kHelloTag);
  ++awaited_;
}

const Bootstrap::Meeting* Bootstrap::result(std::uint64_t id) const {
  const auto found = results_.find(id);
  return found != results_.end() ? &found->second : nullptr;
}

void Bootstrap::send(std::vector<std::int64_t> words, int to, int tag) {
  Message& message = sends_.emplace_back();
  message.words = std::move(words);
  PMPI_Isend(message.words.data(), static_cast<int>(message.words.size()), MPI_INT64_T, to, tag, fabric(),
             &message.request);
}

bool Bootstrap::receive(int tag, std::vector<std::int64_t>& words) {
  int arrived = 0;
  MPI_Message message;
  MPI_Status status;
  PMPI_Improbe(MPI_ANY_SOURCE, tag, fabric(), &arrived, &message, &status);
  if (arrived == 0) return false;
  int count = 0;
  PMPI_Get_count(&status, MPI_INT64_T, &count);
  words.resize(static_cast<std::size_t>(count));
  PMPI_Mrecv(words.data(), count, MPI_INT64_T, &message, MPI_STATUS_IGNORE);
  return true;
}

bool Bootstrap::pending() const {
  return fabric() != MPI_COMM_NULL && (awaited_ > 0 || !sends_.empty());
}

bool Bootstrap::poll() {
  if (fabric() == MPI_COMM_NULL) return false;
  bool progressed = false;
  std::vector<std::int64_t> words;
  while (receive(kHelloTag, words)) {
    serve(words);
    progressed = true;
  }
  while (receive(kAnswerTag, words)) {
    accept(words);
    progressed = true;
  }
  sends_.remove_if([](Message& message) {
    int done = 0;
    PMPI_Test(&message.request, &done, MPI_STATUS_IGNORE);
    return done != 0;
  });
  return progressed;
}

void Bootstrap::serve(const std::vector<std::int64_t>& hello) {
  const auto id = static_cast<std::uint64_t>(hello[0]);
  std::vector<Member>& members = gathering_[id];
  members.push_back(member_at(hello, 2));
  if (members.size() < static_cast<std::size_t>(hello[1])) return;
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.place < b.place; });
  int world = 0;
  PMPI_Comm_size(fabric(), &world);
  const std::int64_t serial = std::int64_t{++meetings_held_} * world + fabric_rank();
  std::vector<std::int64_t> answer{hello[0], serial};
  for (const Member& member : members) append(answer, member);
  for (const Member& member : members) send(answer, member.world_rank, kAnswerTag);
  gathering_.erase(id);
}

void Bootstrap::accept(const std::vector<std::int64_t>& answer) {
  Meeting meeting;
  meeting.serial = static_cast<std::uint32_t>(answer[1]);
  for (std::size_t at = 2; at < answer.size(); at += Words{}.size()) meeting.members.push_back(member_at(answer, at));
  results_[static_cast<std::uint64_t>(answer[0])] = std::move(meeting);
  --awaited_;
}

}  // namespace ep::emulator

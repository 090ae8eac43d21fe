#pragma once
#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include <mpi.h>

namespace ep::emulator {

/// How the members of a communicator find one another, as NCCL's own bootstrap does: each sends a line about itself to
/// a root, which answers all of them once all have come. Nothing blocks, so a member that never comes holds up only
/// those who wait for it. Driven by the engine.
class Bootstrap {
 public:
  struct Member {
    std::int32_t world_rank = 0;
    std::int32_t place = 0;  // in the meeting, from 0
    std::int32_t color = 0;
    std::int32_t key = 0;
    std::array<char, 16> uuid{};  // of its device
  };
  struct Meeting {
    std::uint32_t serial = 0;  // unique among all meetings of the program
    std::vector<Member> members;
  };

  static Bootstrap& get();
  Bootstrap(const Bootstrap&) = delete;
  Bootstrap& operator=(const Bootstrap&) = delete;

  /// Says that this process takes part in the meeting `id`, which has `size` members.
  void join(std::uint64_t id, int root_world_rank, int size, const Member& self);
  /// The meeting's result, once everybody has come; null until then. Dropped by `forget`.
  const Meeting* result(std::uint64_t id) const;
  void forget(std::uint64_t id) { results_.erase(id); }

 private:
  struct Message {
    std::vector<std::int64_t> words;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  Bootstrap();
  bool poll();
  bool pending() const;
  void send(std::vector<std::int64_t> words, int to, int tag);
  bool receive(int tag, std::vector<std::int64_t>& words);
  void serve(const std::vector<std::int64_t>& hello);
  void accept(const std::vector<std::int64_t>& answer);

  std::list<Message> sends_;
  std::map<std::uint64_t, std::vector<Member>> gathering_;  // as a root
  std::map<std::uint64_t, Meeting> results_;
  std::size_t awaited_ = 0;
  std::uint32_t meetings_held_ = 0;
};

}  // namespace ep::emulator

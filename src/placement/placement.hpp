#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ep::placement {

/// Where each expert lives. Experts need not divide by ranks; a rank may hold none.
class Placement {
 public:
  /// @param expert_rank [experts], each in [0, ranks). Local slots follow expert order within a rank.
  /// Throws InputError (source `placement`) for an entry out of range.
  Placement(std::vector<std::int32_t> expert_rank, int ranks, std::string name);

  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] int experts() const { return static_cast<int>(expert_rank_.size()); }
  [[nodiscard]] int rank_of(int expert) const { return expert_rank_[static_cast<std::size_t>(expert)]; }
  /// Position of the expert among its rank's experts.
  [[nodiscard]] int slot_of(int expert) const { return slot_[static_cast<std::size_t>(expert)]; }
  /// Experts of a rank, by slot.
  [[nodiscard]] std::span<const std::int32_t> experts_of(int rank) const;
  /// Most experts that any rank holds (at least 1): the row length of padded count tables [ranks, max_local].
  [[nodiscard]] int max_local() const { return max_local_; }
  [[nodiscard]] std::span<const std::int32_t> expert_ranks() const { return expert_rank_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  int ranks_;
  int max_local_ = 1;
  std::string name_;
  std::vector<std::int32_t> expert_rank_;
  std::vector<std::int32_t> slot_;
  std::vector<std::int32_t> by_rank_;  // experts ordered by (rank, slot)
  std::vector<std::int64_t> first_;    // [ranks + 1] into by_rank_
};

/// `block` (expert e on rank floor(e*R/E)), `round-robin` (e mod R), or a JSON file: an object {"expert": rank} or a
/// list. Throws InputError naming the file, the expert and the rank.
Placement make_placement(std::string_view spec, int experts, int ranks);

/// expert -> rank from JSON text, an object {"0": 0, …} that names every expert once or a list; `source` and `field`
/// go into messages. Throws InputError.
std::vector<std::int32_t> parse_expert_map(const std::string& json, std::string_view source, std::string_view field);

/// Which node each rank runs on; nodes are numbered by first appearance.
struct Topology {
  std::vector<int> node_of_rank;  // [ranks]
  int nodes = 1;

  [[nodiscard]] int ranks() const { return static_cast<int>(node_of_rank.size()); }
  [[nodiscard]] bool same_node(int a, int b) const {
    return node_of_rank[static_cast<std::size_t>(a)] == node_of_rank[static_cast<std::size_t>(b)];
  }
  /// The lowest rank on `node`, as every node has one.
  [[nodiscard]] int first_rank(int node) const {
    return static_cast<int>(std::find(node_of_rank.begin(), node_of_rank.end(), node) - node_of_rank.begin());
  }
};

/// `ranks_per_node` consecutive ranks on each node; the last may hold fewer.
Topology block_topology(int ranks, int ranks_per_node);

}  // namespace ep::placement

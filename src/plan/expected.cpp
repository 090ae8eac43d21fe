#include "plan/expected.hpp"

#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "core/error.hpp"

namespace ep::plan {

namespace {

void check_agreement(const ExpectedJob& job, const placement::Placement& placement, const placement::Topology& topology,
                     int chunks) {
  const auto experts = static_cast<int>(job.copies_per_token.size());
  if (experts != placement.experts()) {
    throw core::InputError(placement.name(), "experts of the placement", std::to_string(placement.experts()),
                           fmt::format("the job has {}", experts));
  }
  if (topology.ranks() != placement.ranks()) {
    throw core::InputError(placement.name(), "ranks of the placement", std::to_string(placement.ranks()),
                           fmt::format("the topology has {}", topology.ranks()));
  }
  if (chunks < 1) throw core::InputError("plan", "chunks", std::to_string(chunks), "wanted at least 1");
}

/// [ranks] copies of one token that each rank receives.
std::vector<double> rank_shares(const ExpectedJob& job, const placement::Placement& placement) {
  std::vector<double> shares(static_cast<std::size_t>(placement.ranks()));
  for (int expert = 0; expert < placement.experts(); ++expert) {
    shares[static_cast<std::size_t>(placement.rank_of(expert))] +=
        job.copies_per_token[static_cast<std::size_t>(expert)];
  }
  return shares;
}

struct NodeSums {
  double share = 0;     // copies of one token
  double messages = 0;  // ranks of the node that a rank elsewhere sends to
  double ranks = 0;
};

/// Every rank sends alike, so a rank's load follows from its own share, its node's and the sum of all.
ExchangeLoads expected_loads(const std::vector<double>& shares, const placement::Topology& topology,
                             double rank_tokens) {
  const auto touched = [&](double share) { return -std::expm1(-rank_tokens * share); };  // is anything sent?
  std::vector<NodeSums> nodes(static_cast<std::size_t>(topology.nodes));
  NodeSums all;
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    for (NodeSums* sums : {&nodes[static_cast<std::size_t>(topology.node_of_rank[rank])], &all}) {
      sums->share += shares[rank];
      sums->messages += touched(shares[rank]);
      sums->ranks += 1;
    }
  }
  ExchangeLoads loads(shares.size());
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    const NodeSums& node = nodes[static_cast<std::size_t>(topology.node_of_rank[rank])];
    const double sent_to_me = rank_tokens * shares[rank];
    loads[rank] = {{node.messages - touched(shares[rank]), rank_tokens * (node.share - shares[rank])},
                   {all.messages - node.messages, rank_tokens * (all.share - node.share)},
                   {(node.ranks - 1) * touched(shares[rank]), (node.ranks - 1) * sent_to_me},
                   {(all.ranks - node.ranks) * touched(shares[rank]), (all.ranks - node.ranks) * sent_to_me}};
  }
  return loads;
}

ChunkTraffic expected_chunk(const ExpectedJob& job, const placement::Placement& placement,
                            const placement::Topology& topology, int chunks, int chunk) {
  const int ranks = placement.ranks();
  ChunkTraffic traffic{{}, {}, {}, 0, 0, {}};
  for (int rank = 0; rank < ranks; ++rank) {
    traffic.tokens.push_back(chunk_tokens(job.tokens, ranks, rank, chunks, chunk).size());
  }
  const auto tokens =
      static_cast<double>(std::accumulate(traffic.tokens.begin(), traffic.tokens.end(), std::int64_t{0}));
  const std::vector<double> shares = rank_shares(job, placement);
  ExpectedTraffic expected{{},
                           {},
                           core::Matrix<std::int64_t>(ranks, placement.max_local()),
                           expected_loads(shares, topology, tokens / ranks)};
  for (int rank = 0; rank < ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    expected.sent.push_back(traffic.tokens[r] * job.topk);
    expected.received.push_back(std::llround(tokens * shares[r]));
  }
  for (int expert = 0; expert < placement.experts(); ++expert) {
    expected.expert_rows(placement.rank_of(expert), placement.slot_of(expert)) =
        std::llround(tokens * job.copies_per_token[static_cast<std::size_t>(expert)]);
  }
  traffic.token_rank_pairs = std::llround(tokens * job.ranks_per_token);
  traffic.token_node_pairs = std::llround(tokens * job.nodes_per_token);
  traffic.expected = std::make_shared<const ExpectedTraffic>(std::move(expected));
  return traffic;
}

}  // namespace

Plan expected_plan(const ExpectedJob& job, const placement::Placement& placement, const placement::Topology& topology,
                   int chunks) {
  check_agreement(job, placement, topology, chunks);
  Plan plan{job.topk, placement, topology, {}};
  for (int chunk = 0; chunk < chunks; ++chunk) {
    plan.chunks.push_back(expected_chunk(job, placement, topology, chunks, chunk));
  }
  return plan;
}

}  // namespace ep::plan

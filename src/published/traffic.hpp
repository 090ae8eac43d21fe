#pragma once
#include "published/rows.hpp"

namespace ep::published {

/// Where the copies of one token go, mean over a sample of the job's tokens.
struct TokenTraffic {
  double ranks = 0;         // distinct destination ranks, own included
  double nodes = 0;         // distinct destination nodes, own included
  double remote_nodes = 0;  // distinct destination nodes but the own
  double node_copies = 0;   // copies that stay in the node, own rank included
  double rank_copies = 0;   // copies that stay on the rank
};

/// Routes a sample of the row's tokens, spread over its ranks, to experts placed in blocks. `uniform` draws a score for
/// every expert and takes the topk best, of the groups_limit nodes with the best best score where there is a limit;
/// `stride` takes (17 * token + 31 * slot) mod experts, the next one if taken. The same on every machine.
TokenTraffic token_traffic(const Row& row);

}  // namespace ep::published

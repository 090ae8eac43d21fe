// The layers that are tested: every dtype and awkward shapes, with masked tokens.
#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "placement/placement.hpp"
#include "plan/plan.hpp"
#include "routing/routing.hpp"

namespace ep::layer {

struct Case {
  std::string name;
  std::string routing;
  std::int64_t tokens;  // of the whole job
  int experts;
  int topk;
  plan::LayerShape shape;
};

inline std::ostream& operator<<(std::ostream& stream, const Case& c) {
  return stream << c.name;
}

inline std::vector<Case> layer_cases() {
  using core::DType;
  return {{"fp32", "uniform", 61, 6, 2, {48, 24, 16, DType::f32, DType::f32}},
          {"bf16", "lognormal:1.2", 61, 6, 2, {48, 24, 16, DType::bf16, DType::bf16}},
          {"mixed", "zipf:1", 40, 9, 3, {40, 16, 0, DType::bf16, DType::f32}},
          {"fp8", "lognormal:1.2", 61, 6, 2, {144, 24, 16, DType::e4m3, DType::bf16}},
          {"fp8_there_fp32_back", "uniform", 40, 9, 3, {48, 16, 0, DType::e4m3, DType::f32}},
          {"few_experts", "uniform", 30, 2, 2, {32, 16, 8, DType::f32, DType::f32}},
          {"few_tokens", "stride", 2, 5, 1, {32, 16, 8, DType::f32, DType::f32}}};
}

/// A case routed to the experts of so many ranks.
struct RoutedCase {
  RoutedCase(const Case& c, int ranks)
      : placement(placement::make_placement("block", c.experts, ranks)),
        topology(placement::block_topology(ranks, ranks)),
        routing(routing::generate(c.routing, {c.tokens, c.topk, c.experts, 7, {}})) {
    // Every fifth token loses a copy, every seventh all of them.
    for (std::int64_t token = 0; token < routing.tokens; ++token) {
      const auto first = static_cast<std::size_t>(token * routing.topk);
      if (token % 5 == 0) routing.expert_ids[first] = routing::kMasked;
      for (std::size_t k = 0; token % 7 == 0 && k < static_cast<std::size_t>(routing.topk); ++k) {
        routing.expert_ids[first + k] = routing::kMasked;
      }
    }
  }

  [[nodiscard]] plan::Plan plan(int chunks) const { return plan::make_plan(routing, placement, topology, chunks); }

  placement::Placement placement;
  placement::Topology topology;
  routing::Routing routing;
};

}  // namespace ep::layer

#include <limits>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/json.hpp"
#include "cost/route_cost.hpp"

namespace ep::cost {

namespace {

using core::InputError;
using nlohmann::json;

/// Position of each expert number in expert_to_gpu.
using Positions = std::unordered_map<std::int64_t, std::int32_t>;

Positions read_experts(const json& value, std::string_view source, std::vector<std::int64_t>& expert_to_gpu) {
  constexpr std::string_view kField = "expert_to_gpu";
  const auto pairs = core::whole_number_map(value, source, kField);
  if (!std::in_range<std::int32_t>(pairs.size())) {
    throw InputError(source, kField, fmt::format("{} experts", pairs.size()), "wanted fewer than 2^31");
  }
  Positions positions;
  for (const auto& [expert, gpu] : pairs) {
    positions.emplace(expert, static_cast<std::int32_t>(expert_to_gpu.size()));
    expert_to_gpu.push_back(gpu);
  }
  return positions;
}

TokenAssignments read_assignments(const json& value, std::string_view source, const Positions& positions) {
  constexpr std::string_view kField = "token_assignments";
  TokenAssignments assignments;
  for (const json& row : core::list(value, source, kField)) {
    const auto where = [&] { return fmt::format("{}[{}]", kField, assignments.tokens()); };
    if (!row.is_array()) core::list(row, source, where());
    for (const json& entry : row) {
      const auto found =
          entry.is_number_unsigned() ? positions.find(core::whole_number(entry, source, where())) : positions.end();
      if (found == positions.end()) {
        throw InputError(source, where(), core::shown(entry),
                         "wanted the number of an expert that expert_to_gpu names");
      }
      assignments.experts.push_back(found->second);
    }
    assignments.first.push_back(static_cast<std::int64_t>(assignments.experts.size()));
  }
  return assignments;
}

std::vector<std::int64_t> read_token_to_gpu(const json& value, std::string_view source) {
  constexpr std::string_view kField = "token_to_gpu";
  std::vector<std::int64_t> token_to_gpu;
  for (const json& gpu : core::list(value, source, kField)) {
    token_to_gpu.push_back(core::whole_number(gpu, source, fmt::format("{}[{}]", kField, token_to_gpu.size())));
  }
  return token_to_gpu;
}

}  // namespace

RouteCostInput parse_route_cost(const std::string& text, std::string_view source) {
  const json object = core::parse_json(text, source);
  core::require_fields(object, source, "input",
                       {"token_assignments", "expert_to_gpu", "token_to_gpu", "token_hidden_bytes", "bandwidth_gbps"});
  RouteCostInput input;
  const Positions positions = read_experts(object["expert_to_gpu"], source, input.expert_to_gpu);
  input.token_assignments = read_assignments(object["token_assignments"], source, positions);
  input.token_to_gpu = read_token_to_gpu(object["token_to_gpu"], source);
  input.token_hidden_bytes = core::whole_number(object["token_hidden_bytes"], source, "token_hidden_bytes");
  input.bandwidth_gbps = core::positive_number(object["bandwidth_gbps"], source, "bandwidth_gbps");
  return input;
}

}  // namespace ep::cost

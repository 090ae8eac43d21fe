#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/error.hpp"
#include "routing/generators.hpp"

namespace ep::routing {

namespace {

using core::InputError;

/// Which experts are not in `hot_experts`. Throws InputError when that names one twice, or one that does not exist.
std::vector<std::int32_t> others(int experts, std::span<const std::int32_t> hot_experts) {
  std::vector<bool> is_hot(static_cast<std::size_t>(experts));
  for (const std::int32_t expert : hot_experts) {
    if (expert < 0 || expert >= experts || is_hot[static_cast<std::size_t>(expert)]) {
      throw InputError(kRoutingOption, "hot expert", std::to_string(expert),
                       fmt::format("wanted distinct experts from 0 to {}", experts - 1));
    }
    is_hot[static_cast<std::size_t>(expert)] = true;
  }
  std::vector<std::int32_t> result;
  for (std::int32_t expert = 0; expert < experts; ++expert) {
    if (!is_hot[static_cast<std::size_t>(expert)]) result.push_back(expert);
  }
  return result;
}

/// `word`, a share of all copies, as copies a token. Throws InputError when distinct experts cannot take them.
double hot_copies(std::string_view word, const RoutingShape& shape) {
  const auto hot = static_cast<int>(shape.hot_experts.size());
  const double topk = shape.topk;
  const double fewest = std::max(0, shape.topk - (shape.experts - hot));
  const double most = std::min(shape.topk, hot);
  const auto field = fmt::format("hot FRACTION (topk {}, {} of {} experts hot)", shape.topk, hot, shape.experts);
  return std::clamp(parse_within(word, field, fewest / topk, most / topk) * topk, fewest, most);
}

}  // namespace

std::vector<std::int32_t> hot_fraction(const RoutingShape& shape, std::string_view fraction) {
  Pool cold(others(shape.experts, shape.hot_experts));
  Pool hot(shape.hot_experts);
  const double copies = hot_copies(fraction, shape);
  const double whole = std::floor(copies);
  const auto topk = static_cast<std::size_t>(shape.topk);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(shape.tokens) * topk);
  for (std::int64_t token = 0; token < shape.tokens; ++token) {
    auto random = random_for(shape.seed, Purpose::token, token);
    const auto hot_count = static_cast<std::size_t>(whole) + (random.uniform() < copies - whole ? 1U : 0U);
    const auto row = std::span(ids).subspan(static_cast<std::size_t>(token) * topk, topk);
    hot.draw(random, row.first(hot_count));
    cold.draw(random, row.subspan(hot_count));
  }
  return ids;
}

std::vector<double> expected_hot_fraction(const RoutingShape& shape, std::string_view fraction) {
  const std::vector<std::int32_t> cold = others(shape.experts, shape.hot_experts);
  const double copies = hot_copies(fraction, shape);
  std::vector<double> expected(static_cast<std::size_t>(shape.experts));
  for (const std::int32_t expert : shape.hot_experts) {
    expected[static_cast<std::size_t>(expert)] = copies / static_cast<double>(shape.hot_experts.size());
  }
  for (const std::int32_t expert : cold) {
    expected[static_cast<std::size_t>(expert)] = (shape.topk - copies) / static_cast<double>(cold.size());
  }
  return expected;
}

}  // namespace ep::routing

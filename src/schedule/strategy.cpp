#include "schedule/strategy.hpp"

#include <utility>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "schedule/recipe.hpp"

namespace ep::schedule {

namespace {

constexpr const Recipe* kRecipes[] = {&kSequential, &kOverlapped, &kChunked, &kTwoBatch};
constexpr std::string_view kDeferDw = "+defer-dw";

/// The recipe whose name is all of `name` up to the chunks; null when there is none.
const Recipe* find_recipe(std::string_view name) {
  for (const Recipe* recipe : kRecipes) {
    if (name.substr(0, name.find_first_of(":+")) == recipe->name) return recipe;
  }
  return nullptr;
}

}  // namespace

Strategy parse_strategy(std::string_view word) {
  Strategy strategy{std::string(word), 1, word.ends_with(kDeferDw)};
  std::string_view name = word;
  if (strategy.defer_dw) name.remove_suffix(kDeferDw.size());
  const Recipe* const recipe = find_recipe(name);
  if (recipe != nullptr && recipe->chunks > 0 && name == recipe->name) {
    strategy.chunks = recipe->chunks;
    return strategy;
  }
  if (recipe != nullptr && recipe->chunks == 0 && name.size() > recipe->name.size() &&
      name[recipe->name.size()] == ':') {
    const std::int64_t chunks = core::parse_size(name.substr(recipe->name.size() + 1), "--strategy chunked");
    strategy.chunks = static_cast<int>(chunks);
    if (chunks >= 1 && chunks <= kMostChunks) return strategy;
  }
  throw core::InputError(
      "command line", "--strategy", word,
      "wanted sequential, overlapped, chunked:N (N from 1 to 16) or two-batch, each with or without +defer-dw");
}

std::vector<std::string> every_strategy(bool gradients) {
  std::vector<std::string> names;
  for (const Recipe* recipe : kRecipes) {
    const bool counted = recipe->chunks == 0;
    for (int chunks = 1; chunks <= (counted ? kMostChunks : 1); ++chunks) {
      names.push_back(counted ? fmt::format("{}:{}", recipe->name, chunks) : std::string(recipe->name));
      if (gradients && !recipe->serial) names.push_back(fmt::format("{}{}", names.back(), kDeferDw));
    }
  }
  return names;
}

Schedule build(const Strategy& strategy, const plan::Plan& plan, const plan::LayerShape& shape, Direction direction) {
  const Recipe& recipe = *find_recipe(strategy.name);
  Builder builder(plan, shape, strategy.name, recipe.serial, direction);
  if (direction != Direction::backward) recipe.forward(builder);
  if (direction != Direction::forward) recipe.backward(builder, strategy.defer_dw);
  Schedule schedule = builder.finish();
  if (direction == Direction::backward) {
    schedule.needs = std::make_shared<Schedule>(build(strategy, plan, shape, Direction::forward));
  }
  return schedule;
}

}  // namespace ep::schedule

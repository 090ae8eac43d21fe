#include <algorithm>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "routing/generators.hpp"
#include "routing/portable_math.hpp"

namespace ep::routing {

namespace {

using core::InputError;

struct HotExperts {
  std::int64_t count = 0;
  double factor = 0;  // load over the mean load
};

struct LognormalOptions {
  double sigma = 0;
  std::optional<HotExperts> hot;
  std::optional<double> sticky;
};

HotExperts parse_hot(std::string_view word, const RoutingShape& shape) {
  const auto star = word.find('*');
  if (star == std::string_view::npos) throw InputError(kRoutingOption, "lognormal hot", word, "wanted COUNT*FACTOR");
  // The other slots must find enough other experts, also in a token without any of the hot ones.
  const std::int64_t most = std::min(shape.topk, shape.experts - shape.topk);
  const std::int64_t count = core::parse_size(word.substr(0, star), "--routing lognormal hot COUNT");
  if (count < 1 || count > most) {
    throw InputError(
        kRoutingOption, "lognormal hot COUNT", std::to_string(count),
        fmt::format("with topk {} of {} experts wanted 1 or more, at most {}", shape.topk, shape.experts, most));
  }
  const double in_every_token = static_cast<double>(shape.experts) / shape.topk;
  return {.count = count, .factor = parse_within(word.substr(star + 1), "lognormal hot FACTOR", 0.0, in_every_token)};
}

LognormalOptions parse_options(std::string_view arguments, const RoutingShape& shape) {
  LognormalOptions options;
  auto comma = arguments.find(',');
  options.sigma = parse_within(arguments.substr(0, comma), "lognormal SIGMA", 0.0, 10.0);
  while (comma != std::string_view::npos) {
    arguments.remove_prefix(comma + 1);
    comma = arguments.find(',');
    const auto option = arguments.substr(0, comma);
    if (option.starts_with("hot=") && !options.hot) {
      options.hot = parse_hot(option.substr(4), shape);
    } else if (option.starts_with("sticky=") && !options.sticky) {
      options.sticky = parse_within(option.substr(7), "lognormal sticky", 0.0, 1.0);
    } else {
      throw InputError(kRoutingOption, "lognormal option", option, "wanted hot=COUNT*FACTOR or sticky=P, each once");
    }
  }
  return options;
}

}  // namespace

// Values that look like real routers. Skew (hottest expert over mean, 256 experts, top-8, of published dumps): sigma
// 0.45 for mixed traffic, 0.65 with hot=2*10 for one domain, 1.2 for a narrow one such as mathematics. Stickiness
// (share of a token's experts that the next token has too): at 32 experts, top-4, sticky=0.4 gives 0.44 with sigma
// 0.65, what gpt-oss-20b shows in its median layer; sticky=0 gives 0.18, its layer 0 (0.20). What is kept fades as
// P^distance, so over a hundred tokens the real overlap (0.3, since its popularities change with the text) is higher.
RaceParameters lognormal(const RoutingShape& shape, std::string_view arguments) {
  const LognormalOptions options = parse_options(arguments, shape);
  RaceParameters parameters;
  parameters.sticky = options.sticky.value_or(0.0);
  parameters.popularity.resize(static_cast<std::size_t>(shape.experts));
  auto random = random_for(shape.seed, Purpose::popularity);
  for (double& popularity : parameters.popularity) popularity = exponential(options.sigma * standard_normal(random));
  if (options.hot) {
    parameters.hot_probability = options.hot->factor * shape.topk / shape.experts;
    parameters.hot_experts.resize(static_cast<std::size_t>(options.hot->count));
    auto hot_random = random_for(shape.seed, Purpose::hot_experts);
    Pool(shape.experts).draw(hot_random, parameters.hot_experts);
  }
  return parameters;
}

}  // namespace ep::routing

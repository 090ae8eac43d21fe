#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "routing/generators.hpp"
#include "routing/limits.hpp"
#include "routing/routing.hpp"

namespace ep::routing {

namespace {

std::vector<std::int32_t> ids_of(std::string_view spec, const RoutingShape& shape) {
  if (spec == "uniform") return uniform(shape);
  if (spec == "stride") return stride(shape);
  const auto colon = spec.find(':');
  if (colon != std::string_view::npos) {
    const auto name = spec.substr(0, colon);
    const auto arguments = spec.substr(colon + 1);
    if (name == "lognormal") return race(shape, lognormal(shape, arguments));
    if (name == "zipf") return race(shape, zipf(shape, arguments));
    if (name == "hot") return hot_fraction(shape, arguments);
  }
  throw unknown_spec(spec);
}

}  // namespace

double parse_within(std::string_view word, std::string_view field, double low, double high) {
  const double value = core::parse_number(word, fmt::format("{} {}", kRoutingOption, field));
  if (value >= low && value <= high) return value;
  throw core::InputError(kRoutingOption, field, word, fmt::format("wanted {:.6g} to {:.6g}", low, high));
}

core::InputError unknown_spec(std::string_view spec) {
  return {"command line", kRoutingOption, spec,
          "wanted uniform, lognormal:SIGMA[,hot=COUNT*FACTOR][,sticky=P], zipf:S, hot:FRACTION, stride, FILE.npy, "
          "FILE.npy:LAYER or FILE.jsonl"};
}

Routing generate(std::string_view spec, const RoutingShape& shape) {
  check_sizes(kRoutingOption, shape.tokens, shape.topk, shape.experts);
  Routing routing;
  routing.tokens = shape.tokens;
  routing.topk = shape.topk;
  routing.experts = shape.experts;
  routing.source = fmt::format("{} seed {}", spec, shape.seed);
  routing.expert_ids = ids_of(spec, shape);
  fill_gate_weights(routing, shape.seed);
  return routing;
}

}  // namespace ep::routing

#include <algorithm>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "routing/check.hpp"
#include "routing/file_ids.hpp"
#include "routing/generators.hpp"
#include "routing/routing.hpp"

namespace ep::routing {

namespace {

using core::InputError;

struct FileSpec {
  std::string path;
  std::optional<std::string_view> layer;
  bool is_jsonl = false;
};

std::optional<FileSpec> parse_file_spec(std::string_view spec) {
  if (spec.ends_with(".jsonl")) return FileSpec{.path = std::string(spec), .layer = {}, .is_jsonl = true};
  if (spec.ends_with(".npy")) return FileSpec{.path = std::string(spec), .layer = {}};
  const auto at = spec.rfind(".npy:");
  if (at == std::string_view::npos) return std::nullopt;
  return FileSpec{.path = std::string(spec.substr(0, at + 4)), .layer = spec.substr(at + 5)};
}

FileIds read_ids(const FileSpec& file, std::int64_t tokens, int topk) {
  std::optional<std::int64_t> layer;
  if (file.layer) layer = core::parse_size(*file.layer, "--routing FILE.npy:LAYER");
  const std::string content = core::read_file(file.path, kMaxFileBytes);
  return file.is_jsonl ? read_jsonl(content, file.path, tokens, topk) : read_npy(content, file.path, layer, tokens);
}

}  // namespace

std::int64_t tokens_to_read(const std::string& path, std::int64_t available, std::int64_t wanted) {
  if (available == 0) throw InputError(path, "tokens", "0", "the file holds no tokens");
  if (wanted > available) {
    throw InputError(path, "tokens", std::to_string(available), fmt::format("fewer than the {} asked for", wanted));
  }
  return wanted == 0 ? available : wanted;
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string shown(text.substr(0, kLongest));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  if (text.size() > kLongest) shown += "...";
  return shown;
}

bool is_file(std::string_view spec) {
  return parse_file_spec(spec).has_value();
}

Routing load(std::string_view spec, std::int64_t tokens, int topk, int experts, std::uint64_t seed) {
  const auto file = parse_file_spec(spec);
  if (!file) throw InputError("command line", kRoutingOption, spec, "wanted FILE.npy, FILE.npy:LAYER or FILE.jsonl");
  const auto wanted_or_all = [](std::int64_t value) { return value == 0 ? 1 : value; };
  check_sizes(kRoutingOption, tokens, wanted_or_all(topk), experts == 0 ? kMaxExperts : experts);

  FileIds found = read_ids(*file, tokens, topk);
  if (topk != 0 && topk != found.topk) {
    throw InputError(file->path, "topk", std::to_string(found.topk), fmt::format("but {} is asked for", topk));
  }
  Routing routing;
  routing.tokens = found.tokens;
  routing.topk = static_cast<int>(found.topk);
  routing.experts = experts != 0 ? experts : 1 + *std::max_element(found.ids.begin(), found.ids.end());
  routing.source = spec;
  routing.expert_ids = std::move(found.ids);
  fill_gate_weights(routing, seed);
  check(routing, file->is_jsonl ? jsonl_slot_name : npy_slot_name);
  return routing;
}

}  // namespace ep::routing

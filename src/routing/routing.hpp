#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ep::routing {

/// Marks a slot of a token that goes nowhere (padding, a dropped copy).
constexpr std::int32_t kMasked = -1;

/// Which experts every token of the whole job goes to, and with what weight. Host memory, row-major.
struct Routing {
  std::int64_t tokens = 0;
  int topk = 0;
  int experts = 0;
  std::vector<std::int32_t> expert_ids;  // [tokens, topk], kMasked or 0..experts-1
  std::vector<float> gate_weights;       // [tokens, topk], positive, summing to 1 over a token's valid slots
  std::string source;                    // what it was made from, for messages and provenance

  [[nodiscard]] std::span<const std::int32_t> experts_of(std::int64_t token) const {
    return std::span(expert_ids).subspan(static_cast<std::size_t>(token * topk), static_cast<std::size_t>(topk));
  }
  /// Copies that travel to an expert: slots that are not masked.
  [[nodiscard]] std::int64_t valid_copies() const;
};

/// First token of `rank`: token t of T lives on rank floor(t * R / T), so this is ceil(rank * T / R).
/// `first_token(tokens, ranks, ranks)` is `tokens`.
constexpr std::int64_t first_token(std::int64_t tokens, int ranks, int rank) {
  return (rank * tokens + ranks - 1) / ranks;
}

constexpr int rank_of_token(std::int64_t token, std::int64_t tokens, int ranks) {
  return static_cast<int>(token * ranks / tokens);
}

/// What a generated routing is made for.
struct RoutingShape {
  std::int64_t tokens = 0;  // of the whole job
  int topk = 0;
  int experts = 0;
  std::uint64_t seed = 0;
  std::vector<std::int32_t> hot_experts;  // only for `hot:FRACTION`: the experts of one rank
};

/// True when `spec` names a file (`*.npy`, `*.npy:LAYER`, `*.jsonl`) and not a generator.
bool is_file(std::string_view spec);

/// Makes a routing from a spec. The same spec and shape give the same routing on any machine, and a prefix of what more
/// tokens would give. Slots go from the most to the least probable expert. Linear in tokens * experts at worst.
///   uniform           every choice of experts is equally likely
///   lognormal:SIGMA[,hot=COUNT*FACTOR][,sticky=P]
///                     popularity e^(SIGMA * N(0, 1)), Gumbel top-k; COUNT experts, chosen by the seed, get FACTOR
///                     times the mean load; an expert keeps its noise from the token before with probability P
///   zipf:S            popularity rank^-S, ranks chosen by the seed, Gumbel top-k
///   hot:FRACTION      that share of all copies goes to shape.hot_experts
///   stride            (17 * token + 31 * slot + seed) mod experts, the next one if taken
/// Throws InputError (source `--routing`) for an unknown or malformed spec, a shape that it cannot fill, or more than
/// 2^28 copies or 2^20 experts.
Routing generate(std::string_view spec, const RoutingShape& shape);

/// [experts] Copies of one token that each expert receives on average under generator `spec`, summing to topk, whatever
/// shape.tokens. Exact for uniform, stride and hot; for the others the limit of many experts. Throws InputError as
/// generate does.
std::vector<double> expected_copies(std::string_view spec, const RoutingShape& shape);

/// Reads the first `tokens` tokens (0: all) of a NumPy file [tokens, topk] or [layers, tokens, topk]
/// (`FILE.npy:LAYER`), of any integer type, byte order and memory order, or of a JSONL file with one list of expert ids
/// a line (shorter lists are padded with kMasked). `topk` and `experts` of 0 mean "what the file has" (longest list,
/// largest id + 1); another `topk` than the NumPy file's is an error. Gate weights are made from `seed`. Throws
/// InputError naming file, field (element or line) and value for anything malformed, out of range or repeated within a
/// token, and for files over 4 GiB.
Routing load(std::string_view spec, std::int64_t tokens, int topk, int experts, std::uint64_t seed);

/// Throws InputError unless shapes agree, every id is kMasked or in [0, experts), no token names an expert twice.
void check(const Routing& routing);

/// Stable fingerprint of shape and expert ids: FNV-1a 64 over tokens, topk, experts (8 bytes each) and the ids (4 bytes
/// each), little-endian. Equal on every machine for the same routing.
std::uint64_t hash(const Routing& routing);

/// How uneven a routing is.
struct Skew {
  double hottest_expert_over_mean = 0;
  double hottest_rank_over_mean = 0;
  double entropy_over_log2_experts = 0;  // of the expert load distribution; 1 is even
  double distinct_ranks_per_token = 0;   // mean over tokens
};

/// All zeros when no slot is valid. Throws InputError when `expert_rank` does not fit.
/// @param expert_rank [experts] rank each expert lives on, every entry in [0, ranks).
Skew skew_of(const Routing& routing, std::span<const std::int32_t> expert_rank, int ranks);

}  // namespace ep::routing

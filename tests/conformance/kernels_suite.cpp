// Every kernel of a device against the plain loop that says what it means.
#include <cmath>
#include <cstddef>
#include <cstring>

#include "device_suite.hpp"
#include "tests/unit/kernels_fixture.hpp"

namespace ep::device {
namespace {

using core::BFloat16;
using core::DType;
using core::Random;

std::vector<float> as_floats(const std::vector<BFloat16>& values) {
  std::vector<float> floats;
  for (const BFloat16 value : values) floats.push_back(core::to_float(value));
  return floats;
}

TEST_P(DeviceSuite, BucketSortsStably) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed, 1);
    const int ranks = 1 + kernels::below(random, 5);
    const int max_local = 1 + kernels::below(random, 5);
    const int experts = ranks * max_local;
    const int topk = 1 + kernels::below(random, std::min(experts, 8));
    const std::int64_t tokens = kernels::below(random, 3000);
    const auto ids = kernels::random_experts(random, tokens, topk, experts);
    const int spread = seed % 2 == 0 ? 1 : 1 + 1500 / experts;  // empty buckets between: more than a GPU scans at once
    const std::int32_t buckets = experts * spread;
    std::vector<std::int32_t> keys;
    for (int e = 0; e < experts; ++e) keys.push_back(spread * kernels::bucket_key(e % ranks, e / ranks, max_local));
    std::vector<std::int32_t> counts(at(buckets));
    for (const std::int32_t id : ids)
      if (id >= 0) ++counts[at(keys[at(id)])];

    const Buffer ids_on = upload(ids);
    const Buffer keys_on = upload(keys);
    const Buffer counts_on = uninitialised<std::int32_t>(buckets);
    const Buffer position_on = uninitialised<std::int32_t>(tokens * topk);
    const Buffer scratch = uninitialised<std::byte>(1 << 20);
    device_->launch(
        device_->compute_stream(),
        kernels::BucketArgs{ids_on.as<std::int32_t>(), keys_on.as<std::int32_t>(), tokens, topk, experts, buckets,
                            counts_on.as<std::int32_t>(), position_on.as<std::int32_t>(), scratch.data()});
    EXPECT_EQ(download<std::int32_t>(counts_on), counts) << "seed " << seed;
    EXPECT_EQ(download<std::int32_t>(position_on), kernels::bucket_positions(ids, keys, buckets)) << "seed " << seed;
  }
}

TEST_P(DeviceSuite, PackCopiesRowsAndSetsTheOwnApart) {
  Random random(1, 2);
  constexpr std::int64_t kTokens = 300;
  constexpr int kTopk = 4;
  constexpr std::int64_t kRowBytes = 208;
  const auto ids = kernels::random_experts(random, kTokens, kTopk, 8);
  const auto position = kernels::bucket_positions(ids, {0, 1, 2, 3, 4, 5, 6, 7}, 8);
  const std::int64_t copies = 1 + *std::max_element(position.begin(), position.end());
  const kernels::OwnRows own{copies / 3, copies / 2};
  const auto tokens = kernels::random_bytes(random, kTokens * kRowBytes);
  std::vector<std::byte> send(at(copies * kRowBytes), std::byte{0xEE});
  std::vector<std::byte> own_out(at((own.end - own.begin) * kRowBytes));
  for (std::int64_t copy = 0; copy < kTokens * kTopk; ++copy) {
    const std::int64_t row = position[at(copy)];
    if (row < 0) continue;
    std::byte* const to = own.contains(row) ? &own_out[at((row - own.begin) * kRowBytes)] : &send[at(row * kRowBytes)];
    std::memcpy(to, &tokens[at(copy / kTopk * kRowBytes)], kRowBytes);
  }

  const Buffer tokens_on = upload(tokens);
  const Buffer position_on = upload(position);
  const Buffer send_on = uninitialised<std::byte>(copies * kRowBytes);
  const Buffer own_on = uninitialised<std::byte>((own.end - own.begin) * kRowBytes);
  device_->launch(device_->compute_stream(),
                  kernels::PackArgs{tokens_on.data(), position_on.as<std::int32_t>(), kTokens, kTopk, kRowBytes,
                                    send_on.data(), own, own_on.data()});
  const auto sent = download<std::byte>(send_on);
  for (std::int64_t row = 0; row < copies; ++row) {
    if (own.contains(row)) continue;  // unused places hold anything
    ASSERT_EQ(std::memcmp(&sent[at(row * kRowBytes)], &send[at(row * kRowBytes)], kRowBytes), 0) << "row " << row;
  }
  EXPECT_EQ(download<std::byte>(own_on), own_out);
}

TEST_P(DeviceSuite, RegroupMovesSegmentsAndConverts) {
  Random random(2, 3);
  constexpr std::int32_t kHidden = 40;
  // Arrival order (3 ranks x 2 experts) to expert order: rows of expert 0 from every rank, then of expert 1.
  const std::vector<kernels::Segment> segments{{0, 0, 5}, {15, 5, 9}, {5, 14, 7}, {12, 21, 3}, {24, 24, 1}};
  constexpr std::int64_t kRows = 25;
  const auto in = kernels::random_bf16(random, kRows * kHidden);
  const auto wide = as_floats(in);
  std::vector<float> expected(at(kRows * kHidden));
  for (const kernels::Segment& segment : segments)
    for (std::int64_t i = 0; i < segment.rows * kHidden; ++i)
      expected[at(segment.to * kHidden + i)] = wide[at(segment.from * kHidden + i)];

  const Buffer in_on = upload(in);
  const Buffer segments_on = upload(segments);
  const Buffer out_on = uninitialised<float>(kRows * kHidden);
  device_->launch(device_->compute_stream(), kernels::RegroupArgs{in_on.data(),
                                                                  out_on.data(),
                                                                  segments_on.as<kernels::Segment>(),
                                                                  static_cast<std::int64_t>(segments.size()),
                                                                  kRows,
                                                                  kHidden,
                                                                  DType::bf16,
                                                                  DType::f32,
                                                                  {},
                                                                  nullptr});
  EXPECT_EQ(download<float>(out_on), expected);
}

TEST_P(DeviceSuite, SwigluIsSiluOfGateTimesUp) {
  Random random(3, 4);
  constexpr std::int64_t kRows = 33;
  constexpr std::int32_t kFfn = 72;
  const auto gate_up = kernels::random_bf16(random, kRows * 2 * kFfn);
  const auto wide = as_floats(gate_up);
  const Buffer in_on = upload(gate_up);
  const Buffer out_on = uninitialised<BFloat16>(kRows * kFfn);
  device_->launch(device_->compute_stream(),
                  kernels::SwigluArgs{in_on.data(), out_on.data(), kRows, kFfn, DType::bf16});
  const auto out = as_floats(download<BFloat16>(out_on));
  for (std::int64_t row = 0; row < kRows; ++row)
    for (std::int64_t i = 0; i < kFfn; ++i) {
      const double gate = wide[at(row * 2 * kFfn + i)];
      const double want = gate / (1 + std::exp(-gate)) * wide[at(row * 2 * kFfn + kFfn + i)];
      ASSERT_NEAR(out[at(row * kFfn + i)], want, std::abs(want) / 128 + 1e-6) << row << ", " << i;  // 8 bits of bf16
    }
}

TEST_P(DeviceSuite, ReduceWeighsAndAdds) {
  Random random(4, 5);
  constexpr std::int64_t kTokens = 100;
  constexpr std::int32_t kTopk = 4;
  constexpr std::int32_t kHidden = 48;
  const auto ids = kernels::random_experts(random, kTokens, kTopk, 8);
  const auto position = kernels::bucket_positions(ids, {0, 1, 2, 3, 4, 5, 6, 7}, 8);
  const std::int64_t copies = 1 + *std::max_element(position.begin(), position.end());
  const auto rows = kernels::random_floats(random, copies * kHidden);
  const auto weights = kernels::random_floats(random, kTokens * kTopk);
  const auto shared = kernels::random_floats(random, kTokens * kHidden);
  const Buffer rows_on = upload(rows);
  const Buffer position_on = upload(position);
  const Buffer weights_on = upload(weights);
  const Buffer shared_on = upload(shared);
  const Buffer out_on = uninitialised<float>(kTokens * kHidden);
  device_->launch(
      device_->compute_stream(),
      kernels::ReduceArgs{rows_on.data(), position_on.as<std::int32_t>(), weights_on.as<float>(), shared_on.data(),
                          out_on.data(), kTokens, kTopk, kHidden, DType::f32, DType::f32});
  const auto out = download<float>(out_on);
  for (std::int64_t token = 0; token < kTokens; ++token)
    for (std::int64_t i = 0; i < kHidden; ++i) {
      double want = shared[at(token * kHidden + i)];
      for (std::int64_t k = token * kTopk; k < (token + 1) * kTopk; ++k)
        if (position[at(k)] >= 0) want += double{weights[at(k)]} * rows[at(position[at(k)] * kHidden + i)];
      ASSERT_NEAR(out[at(token * kHidden + i)], want, 1e-5) << "token " << token;
    }
}

TEST_P(DeviceSuite, GroupedGemmUsesEachGroupsWeights) {
  Random random(5, 6);
  const std::vector<std::int64_t> group_rows{5, 0, 17, 1};
  constexpr std::int64_t kN = 24;
  constexpr std::int64_t kK = 40;
  const auto in = kernels::random_floats(random, 23 * kK);
  const auto weights = kernels::random_floats(random, 4 * kN * kK);
  const Buffer in_on = upload(in);
  const Buffer weights_on = upload(weights);
  const Buffer out_on = uninitialised<float>(23 * kN);
  device_->launch(device_->compute_stream(), kernels::GroupedGemmArgs{group_rows, in_on.data(), weights_on.data(),
                                                                      out_on.data(), kN, kK, DType::f32});
  const auto out = download<float>(out_on);
  std::int64_t row = 0;
  for (std::int64_t group = 0; group < 4; ++group)
    for (std::int64_t r = 0; r < group_rows[at(group)]; ++r, ++row)
      for (std::int64_t n = 0; n < kN; ++n) {
        double want = 0;
        for (std::int64_t k = 0; k < kK; ++k)
          want += double{in[at(row * kK + k)]} * weights[at((group * kN + n) * kK + k)];
        ASSERT_NEAR(out[at(row * kN + n)], want, 1e-4) << "row " << row;
      }
}

}  // namespace
}  // namespace ep::device

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/error.hpp"
#include "routing/file_ids.hpp"
#include "routing/npy_header.hpp"

namespace ep::routing {

namespace {

using core::InputError;

/// Throws InputError unless the bytes after the header are those that the shape asks for.
void check_length(const NpyHeader& header, std::size_t content_bytes, const std::string& path) {
  const std::size_t found = content_bytes - header.data_offset;
  std::size_t wanted = header.element_bytes;
  for (const std::int64_t extent : header.shape) {
    if (__builtin_mul_overflow(wanted, static_cast<std::size_t>(extent), &wanted)) {
      throw InputError(path, "shape", fmt::format("{}", header.shape), "its size does not fit in 64 bits");
    }
  }
  if (found != wanted) {
    throw InputError(path, "data", fmt::format("{} bytes", found),
                     fmt::format("{}: shape {} of {}-byte elements wants {}", found < wanted ? "truncated" : "too long",
                                 header.shape, header.element_bytes, wanted));
  }
}

/// Which layer to read; 0 for a file without layers. Throws InputError when the file and the request do not agree.
std::int64_t layer_to_read(const NpyHeader& header, const std::string& path, std::optional<std::int64_t> layer) {
  const auto shape = fmt::format("{}", header.shape);
  if (header.shape.size() == 2) {
    if (layer)
      throw InputError(path, "shape", shape, fmt::format("it has no layers, but layer {} is asked for", *layer));
    return 0;
  }
  if (header.shape.size() != 3) {
    throw InputError(path, "shape", shape, "wanted [tokens, topk] or [layers, tokens, topk]");
  }
  const std::int64_t layers = header.shape[0];
  if (!layer) {
    throw InputError(path, "shape", shape, fmt::format("it has {} layers: choose one with {}:LAYER", layers, path));
  }
  if (*layer >= layers) {
    throw InputError(path, "layer", std::to_string(*layer), fmt::format("the file has layers 0 to {}", layers - 1));
  }
  return *layer;
}

/// The bits of one element, its sign extended.
std::uint64_t element_bits(const NpyHeader& header, const char* bytes) {
  const auto byte = [&](std::size_t place) {  // 0: the most significant
    return static_cast<unsigned char>(bytes[header.big_endian ? place : header.element_bytes - 1 - place]);
  };
  const bool negative = header.is_signed && byte(0) >= 0x80;
  std::uint64_t bits = negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = 0; i < header.element_bytes; ++i) bits = bits << 8 | byte(i);
  return bits;
}

std::int32_t to_id(const NpyHeader& header, std::uint64_t bits, const std::string& path, std::int64_t token,
                   std::int64_t slot) {
  const bool in_range = header.is_signed ? is_id(static_cast<std::int64_t>(bits)) : is_id(bits);
  if (in_range) return static_cast<std::int32_t>(static_cast<std::int64_t>(bits));
  const auto value = header.is_signed ? std::to_string(static_cast<std::int64_t>(bits)) : std::to_string(bits);
  throw InputError(path, npy_slot_name(token, slot), value,
                   fmt::format("wanted an expert from 0 to {}, or {} for a masked slot", kMaxExperts - 1, kMasked));
}

}  // namespace

std::string npy_slot_name(std::int64_t token, std::int64_t slot) {
  return fmt::format("element [token {}, slot {}]", token, slot);
}

FileIds read_npy(std::string_view content, const std::string& path, std::optional<std::int64_t> layer,
                 std::int64_t tokens) {
  const NpyHeader header = parse_npy_header(content, path);
  const std::int64_t chosen = layer_to_read(header, path, layer);
  check_length(header, content.size(), path);
  const std::int64_t layers = header.shape.size() == 3 ? header.shape[0] : 1;
  const std::int64_t available = *(header.shape.end() - 2);
  FileIds result{.tokens = tokens_to_read(path, available, tokens), .topk = header.shape.back(), .ids = {}};
  check_sizes(path, result.tokens, result.topk, kMaxExperts);

  result.ids.reserve(static_cast<std::size_t>(result.tokens * result.topk));
  const char* const data = content.data() + header.data_offset;
  for (std::int64_t token = 0; token < result.tokens; ++token) {
    for (std::int64_t slot = 0; slot < result.topk; ++slot) {
      const std::int64_t index = header.fortran_order ? chosen + layers * (token + available * slot)
                                                      : (chosen * available + token) * result.topk + slot;
      const char* const element = data + static_cast<std::size_t>(index) * header.element_bytes;
      result.ids.push_back(to_id(header, element_bits(header, element), path, token, slot));
    }
  }
  return result;
}

}  // namespace ep::routing

#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace ep::core {

/// A whole number with optional suffix K, M or G (powers of 1024), as nccl-tests takes sizes.
/// Throws InputError naming `field` when it is no number, negative, or does not fit.
std::int64_t parse_size(std::string_view word, std::string_view field);

/// A finite decimal number. Throws InputError naming `field` for anything else, trailing characters included.
double parse_number(std::string_view word, std::string_view field);

/// What messages call an input: the path itself, or "standard input" for "-".
std::string input_name(const std::string& path);

/// Contents of a text or binary file; "-" is standard input. Throws InputError when it cannot be read or is longer
/// than `limit_bytes`.
std::string read_file(const std::string& path, std::int64_t limit_bytes);

/// a * b for sizes. Throws InputError naming `field` when the product does not fit in 63 bits.
std::int64_t checked_product(std::int64_t a, std::int64_t b, std::string_view field);

}  // namespace ep::core

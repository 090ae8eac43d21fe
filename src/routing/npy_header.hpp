#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ep::routing {

/// What the header of a NumPy file of integers says (numpy.lib.format, versions 1.0 to 3.0).
struct NpyHeader {
  std::size_t element_bytes = 0;  // 1, 2, 4 or 8
  bool is_signed = false;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::size_t data_offset = 0;  // bytes before the first element
};

/// Reads the header at the start of `content`; `path` is for messages. Nothing is evaluated: the header must be the
/// dictionary that NumPy writes, with the keys descr, fortran_order and shape. Throws InputError for anything else.
NpyHeader parse_npy_header(std::string_view content, const std::string& path);

}  // namespace ep::routing

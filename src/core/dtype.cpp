#include "core/dtype.hpp"

#include "core/error.hpp"

namespace ep::core {

DType parse_dtype(std::string_view word, std::string_view field) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::e4m3}) {
    if (word == name_of(dtype)) return dtype;
  }
  throw InputError("command line", field, word, "wanted fp32, bf16 or fp8");
}

}  // namespace ep::core

#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ep::core {

/// Dense row-major matrix [rows, cols] in host memory.
template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::int64_t rows, std::int64_t cols, T value = T{})
      : rows_(rows), cols_(cols), data_(static_cast<std::size_t>(rows * cols), value) {}

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t cols() const { return cols_; }
  T& operator()(std::int64_t row, std::int64_t col) { return data_[static_cast<std::size_t>(row * cols_ + col)]; }
  const T& operator()(std::int64_t row, std::int64_t col) const {
    return data_[static_cast<std::size_t>(row * cols_ + col)];
  }
  [[nodiscard]] std::span<const T> row(std::int64_t index) const {
    return std::span<const T>(data_).subspan(static_cast<std::size_t>(index * cols_), static_cast<std::size_t>(cols_));
  }
  [[nodiscard]] std::span<const T> values() const { return data_; }
  [[nodiscard]] std::span<T> values() { return data_; }
  bool operator==(const Matrix&) const = default;

 private:
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  std::vector<T> data_;
};

template <class T>
Matrix<T> transpose(const Matrix<T>& matrix) {
  Matrix<T> result(matrix.cols(), matrix.rows());
  for (std::int64_t r = 0; r < matrix.rows(); ++r)
    for (std::int64_t c = 0; c < matrix.cols(); ++c) result(c, r) = matrix(r, c);
  return result;
}

}  // namespace ep::core

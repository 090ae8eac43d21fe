#pragma once
#include <utility>

namespace ep::core {

/// Sole owner of a C handle. Policy gives `Handle`, `static Handle null()` and `static void close(Handle) noexcept`.
template <class Policy>
class UniqueHandle {
 public:
  using Handle = typename Policy::Handle;

  UniqueHandle() noexcept = default;
  explicit UniqueHandle(Handle handle) noexcept : handle_(handle) {}
  UniqueHandle(UniqueHandle&& other) noexcept : handle_(std::exchange(other.handle_, Policy::null())) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) reset(std::exchange(other.handle_, Policy::null()));
    return *this;
  }
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;
  ~UniqueHandle() { reset(); }

  [[nodiscard]] Handle get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != Policy::null(); }
  Handle release() noexcept { return std::exchange(handle_, Policy::null()); }
  void reset(Handle handle = Policy::null()) noexcept {
    if (handle_ != Policy::null()) Policy::close(handle_);
    handle_ = handle;
  }

 private:
  Handle handle_ = Policy::null();
};

}  // namespace ep::core

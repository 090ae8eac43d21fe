#include "bench/signals.hpp"

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <unistd.h>

#include "core/error.hpp"

namespace ep::bench {

namespace {

int handlers_write_to = -1;

void note(int signal) {
  const int before = errno;
  const auto number = static_cast<unsigned char>(signal);
  [[maybe_unused]] const ssize_t written = write(handlers_write_to, &number, 1);
  errno = before;
}

}  // namespace

Signals::Signals() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw core::Error(core::ExitCode::internal, "cannot make a pipe");
  from_ = ends[0];
  handlers_write_to = ends[1];
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action {};
    action.sa_handler = note;
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN || kSignals[i] == SIGCHLD) sigaction(kSignals[i], &action, nullptr);
  }
}

Signals::~Signals() {
  restore();
  close(from_);
  close(handlers_write_to);
}

int Signals::next() const {
  unsigned char number = 0;
  while (read(from_, &number, 1) < 0 && errno == EINTR) {
  }
  return number;
}

void Signals::restore() const {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

}  // namespace ep::bench

#include "mpi/agreement.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <vector>

#include "core/hash.hpp"

namespace ep::mpi {
namespace {

/// How an attempt ended: exit code and message of what it threw; ok and empty if it threw nothing.
struct Outcome {
  core::ExitCode code = core::ExitCode::ok;
  std::string message;
};

Outcome attempt(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const core::Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {core::ExitCode::unsupported, "out of memory"};
  } catch (const std::exception& error) {
    return {core::ExitCode::internal, error.what()};
  }
}

std::uint64_t fingerprint(std::span<const Argument> arguments) {
  core::Fnv1a hash;
  const auto add = [&hash](const std::string& word) {
    hash.add(static_cast<std::uint64_t>(word.size()));
    for (const char letter : word) hash.add(std::uint32_t{static_cast<unsigned char>(letter)});
  };
  for (const auto& [name, value] : arguments) {
    add(name);
    add(value);
  }
  return hash.value();
}

/// The arguments as one string; names and values come from a command line, which has no zero bytes.
std::string joined(std::span<const Argument> arguments) {
  std::string text;
  for (const auto& [name, value] : arguments) {
    for (const std::string& word : {name, value}) text.append(word).push_back('\0');
  }
  return text;
}

std::vector<Argument> split(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\0', begin);
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  std::vector<Argument> arguments;
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) arguments.emplace_back(words[i], words[i + 1]);
  return arguments;
}

[[noreturn]] void throw_difference(std::size_t rank, std::span<const Argument> first, std::span<const Argument> other) {
  const auto [a, b] = std::mismatch(first.begin(), first.end(), other.begin(), other.end());
  const Argument none{"", "nothing"};
  const Argument& ours = a == first.end() ? none : *a;
  const Argument& theirs = b == other.end() ? none : *b;
  const std::string& name = b == other.end() ? ours.first : theirs.first;
  const std::string wanted = ours.first == theirs.first || a == first.end() || b == other.end()
                                 ? fmt::format("rank 0 was given {}", ours.second)
                                 : fmt::format("rank 0 was given {} = {} there", ours.first, ours.second);
  const core::InputError error(fmt::format("arguments of rank {}", rank), name, theirs.second,
                               wanted + "; every rank needs the same");
  throw SharedError(error.code(), error.what());
}

}  // namespace

void agree(const Communicator& communicator, std::span<const Argument> arguments) {
  const std::uint64_t mine = fingerprint(arguments);
  std::vector<std::uint64_t> all(static_cast<std::size_t>(communicator.size()));
  check_mpi(MPI_Allgather(&mine, 1, MPI_UINT64_T, all.data(), 1, MPI_UINT64_T, communicator.get()));
  const auto differs = std::find_if(all.begin(), all.end(), [&](std::uint64_t hash) { return hash != all.front(); });
  if (differs == all.end()) return;

  const std::vector<std::string> texts = communicator.gather_all(joined(arguments));
  const auto rank = static_cast<std::size_t>(differs - all.begin());
  throw_difference(rank, split(texts.front()), split(texts[rank]));
}

std::string collectively(const Communicator& communicator, const std::function<std::string()>& make) {
  std::string bytes;
  Outcome outcome;
  if (communicator.rank() == 0) outcome = attempt([&] { bytes = make(); });
  communicator.broadcast_value(outcome.code, 0);
  if (outcome.code != core::ExitCode::ok) {
    communicator.broadcast(outcome.message, 0);
    throw SharedError(outcome.code, outcome.message);
  }
  communicator.broadcast(bytes, 0);
  return bytes;
}

void all_or_none(const Communicator& communicator, const std::function<void()>& work) {
  const Outcome mine = attempt(work);
  const int code = static_cast<int>(mine.code);
  std::vector<int> codes(static_cast<std::size_t>(communicator.size()));
  check_mpi(MPI_Allgather(&code, 1, MPI_INT, codes.data(), 1, MPI_INT, communicator.get()));
  const auto failed = std::find_if(codes.begin(), codes.end(), [](int c) { return c != 0; });
  if (failed == codes.end()) return;

  const std::vector<std::string> messages = communicator.gather_all(mine.message);
  const auto rank = static_cast<std::size_t>(failed - codes.begin());
  const bool everywhere =
      std::all_of(messages.begin(), messages.end(), [&](const auto& m) { return m == messages[0]; });
  throw SharedError(static_cast<core::ExitCode>(*failed),
                    everywhere ? messages[rank] : fmt::format("rank {}: {}", rank, messages[rank]));
}

}  // namespace ep::mpi

#pragma once
#include <vector>

#include "exchange/exchange.hpp"

namespace ep::exchange {

/// The tables of an AllToAll, kept until its turn comes.
struct Tables {
  explicit Tables(const AllToAll& given)
      : args(given),
        send_rows(given.send_rows.begin(), given.send_rows.end()),
        send_offsets(given.send_offsets.begin(), given.send_offsets.end()),
        recv_rows(given.recv_rows.begin(), given.recv_rows.end()),
        recv_offsets(given.recv_offsets.begin(), given.recv_offsets.end()) {}

  [[nodiscard]] AllToAll view() const {
    AllToAll own = args;
    own.send_rows = send_rows;
    own.send_offsets = send_offsets;
    own.recv_rows = recv_rows;
    own.recv_offsets = recv_offsets;
    return own;
  }

  AllToAll args;
  std::vector<std::int64_t> send_rows;
  std::vector<std::int64_t> send_offsets;
  std::vector<std::int64_t> recv_rows;
  std::vector<std::int64_t> recv_offsets;
};

}  // namespace ep::exchange

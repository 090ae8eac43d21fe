#!/usr/bin/env bash
# netns_cluster_test.sh SOURCE_DIR LINK_RATE: hosts are distinct, links have their rate in both directions, exit codes
# come through, nothing foreign is touched and nothing stays behind.
set -euo pipefail

link_rate=$2
cluster=("$1/scripts/netns-cluster" --name "eptest$$")
first=eptest$$-n0

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# expect CODE COMMAND...: COMMAND ends with CODE.
expect() {
  local want=$1 code=0
  shift
  "$@" || code=$?
  [ "$code" -eq "$want" ] || fail "exit code $code, not $want: $*"
}

# check_rate LOW HIGH BYTES: rank 0 sends to rank 1, which must run on another host, at LOW to HIGH MB/s.
check_rate() {
  local from to rate
  read -r from to rate < <(timeout 60 "${cluster[@]}" run -- "$link_rate" "$3")
  [ "$from" != "$to" ] || fail "both ranks are on host $from"
  awk -v r="$rate" -v low="$1" -v high="$2" 'BEGIN { exit !(r >= low && r <= high) }' ||
    fail "$rate MB/s from $from to $to is not in $1 to $2"
  echo "$from to $to: $rate MB/s"
}

check_nothing_left() {
  ! ip netns list | grep "eptest$$" || fail "namespaces are left"
  [ ! -e "/run/netns-cluster/eptest$$" ] || fail "state is left"
}

code=0
"${cluster[@]}" up 2 200mbit || code=$?
[ "$code" -ne 5 ] || exit 77
[ "$code" -eq 0 ] || fail "up ended with $code"
trap '"${cluster[@]}" down' EXIT

# 200 Mbit/s are 25 MB/s, less 4.4 % for the headers of 1500-byte frames: 23.9, and never more. A machine with much
# else to do shows less, so that the lower bound only has to tell a wrong rate from a busy core.
check_rate 15 24 4000000
expect 1 "${cluster[@]}" up 2 200mbit
expect 7 timeout 60 "${cluster[@]}" run -np 1 -- sh -c 'exit 7' 2>/dev/null
expect 6 "${cluster[@]}" run
[ "$("${cluster[@]}" exec "$first" hostname)" = "$first" ] || fail "the host has another name"
algorithm=/proc/sys/net/ipv4/tcp_congestion_control
[ "$("${cluster[@]}" exec "$first" cat "$algorithm")" = reno ] || [ ! -w "$algorithm" ] || fail "TCP is the machine's own"

# With a core for each host, no two share one.
if [ "$(nproc)" -ge 2 ]; then
  cores=$(timeout 60 "${cluster[@]}" run --bind core -- sh -c 'taskset -cp $$' | sed 's/.*: //' | sort -u | wc -l)
  [ "$cores" -eq 2 ] || fail "two hosts with a core each are on $cores"
fi

# What still runs is ended, and a second down does nothing.
"${cluster[@]}" exec "$first" sleep 300 &
sleeper=$!
expect 0 "${cluster[@]}" down
wait "$sleeper" && fail "a process outlived its host"
expect 0 "${cluster[@]}" down
expect 3 "${cluster[@]}" status
check_nothing_left

# The slower link of a pair counts, whichever direction it is.
"${cluster[@]}" up 2 1gbit,200mbit
check_rate 15 24 4000000
"${cluster[@]}" down
"${cluster[@]}" up 2 200mbit,1gbit
check_rate 15 24 4000000
"${cluster[@]}" down

expect 5 "${cluster[@]}" up 2 200mbit --congestion none
check_nothing_left

# A namespace of somebody else is not used, not removed, and up leaves nothing half made.
ip netns add "$first"
expect 1 "${cluster[@]}" up 2 200mbit
[ -e "/run/netns/$first" ] || fail "a foreign namespace was removed"
ip netns delete "$first"
check_nothing_left

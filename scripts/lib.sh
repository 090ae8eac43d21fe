# shellcheck shell=bash
# What the scripts beside this file share; sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Prints the comment block at the head of the calling script: its help text.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# Tools that setup put into the clone come first: a CMake newer than the system's.
[[ -d $root/.venv/tools ]] && PATH=$root/.venv/tools:$PATH

# Compilers are memory-hungry: one job a core, but no more than one for every 1.5 GiB that is free.
build_jobs() {
  local free_kib
  free_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  awk -v cores="$(nproc)" -v memory="$((free_kib / 1572864))" \
    'BEGIN { jobs = cores < memory ? cores : memory; print jobs < 1 ? 1 : jobs }'
}

# build PRESET [TARGET…]: configures and builds; without a target, everything.
build() {
  local preset=$1
  shift
  command -v ccache >/dev/null && export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
  (cd "$root" && cmake --preset "$preset" ${EP_ENABLE_CUDA:+"-DEP_ENABLE_CUDA=$EP_ENABLE_CUDA"} && cmake --build --preset "$preset" --parallel "$(build_jobs)" ${1:+--target "$@"})
}

#pragma once
#include <cstdint>
#include <string>

namespace ep::device {

/// Bytes of host memory this process can still take: the least of MemAvailable in `proc`/meminfo and, for its memory
/// control group (version 1 or 2) and each group above, the limit less what is used and cannot be dropped.
/// Other ranks of the node draw on the same bytes. Files that are absent limit nothing; INT64_MAX when all are.
/// Source: the kernel's admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/memory.rst and filesystems/proc.rst.
std::int64_t available_host_bytes(const std::string& proc = "/proc", const std::string& cgroup = "/sys/fs/cgroup");

}  // namespace ep::device

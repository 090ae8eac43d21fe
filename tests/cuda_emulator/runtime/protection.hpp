// Keeps host code out of device memory: the pages carry a protection key (pkeys(7)) that only the engine's thread
// opens.
#pragma once
#include <cstddef>

namespace ep::emulator {

/// Allocates the key, closes it for the calling thread (and those it will start) and installs the fault handler.
void prepare_host_protection();
/// Opens the key for the engine's thread and gives it a signal stack of its own, since fibers may overflow theirs.
void prepare_engine_protection();

/// Makes pages readable and writable; for device memory by the engine's thread alone, where the processor has keys.
void open_pages(void* pages, std::size_t bytes, bool device);

/// The calling host thread may touch device memory while this lives: allocation and freeing fill and check it.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

 private:
  int rights_before_ = 0;
};

/// True when host accesses to device memory fault: the processor has protection keys and they are in use.
bool device_memory_is_protected();

}  // namespace ep::emulator

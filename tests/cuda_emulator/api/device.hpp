#pragma once

namespace ep::emulator {

/// Whether this thread uses the device that the program chose last. A thread that never chose uses the first one.
bool thread_uses_chosen_device();

}  // namespace ep::emulator

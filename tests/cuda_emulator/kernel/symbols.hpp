#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace ep::emulator {

/// A __shared__ variable: a function-local thread_local of the program, found in its ELF symbol table.
struct SharedVariable {
  char* data = nullptr;  // of the engine's thread
  std::size_t bytes = 0;
  std::string name;
};

/// All of them. @pre the first call comes from the engine's thread
const std::vector<SharedVariable>& shared_variables();

/// Name of a kernel, without its parameters and namespace noise; "?" in a stripped program.
std::string kernel_name(const void* function);

}  // namespace ep::emulator

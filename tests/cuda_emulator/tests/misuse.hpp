// Cases of misuse, by name: a function that goes wrong when it is told to.
#pragma once
#include <functional>
#include <map>
#include <string>

namespace ep::emulator::test {

using Cases = std::map<std::string, std::function<void(bool buggy)>>;

/// Of device memory given to a CUDA-aware MPI.
Cases aware_mpi_cases();

}  // namespace ep::emulator::test

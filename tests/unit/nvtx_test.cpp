// What a profiler would be told. NVTX finds a tool linked into the program by a symbol (nvtx3/nvtxDetail/nvtxInit.h).
#define NVTX_NO_IMPL  // types alone: the calls to listen to are in src/cuda/nvtx.cpp
#include "cuda/nvtx.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nvtx3/nvToolsExtCudaRt.h>

namespace {

std::vector<std::string>& heard() {
  static std::vector<std::string> words;
  return words;
}

nvtxDomainHandle_t NVTX_API create_domain(const char* name) {
  heard().push_back(std::string("domain ") + name);
  return reinterpret_cast<nvtxDomainHandle_t>(&heard());
}

int NVTX_API push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* attributes) {
  EXPECT_EQ(domain, reinterpret_cast<nvtxDomainHandle_t>(&heard()));
  heard().push_back(std::string("begin ") + attributes->message.ascii);
  return 0;
}

int NVTX_API pop(nvtxDomainHandle_t /*domain*/) {
  heard().emplace_back("end");
  return 0;
}

void NVTX_API name_stream(cudaStream_t stream, const char* name) {
  heard().push_back(std::string(stream == nullptr ? "stream " : "other stream ") + name);
}

template <class Function>
void put(const NvtxExportTableCallbacks* callbacks, NvtxCallbackModule module, std::size_t id, Function function) {
  NvtxFunctionTable table = nullptr;
  unsigned int size = 0;
  ASSERT_EQ(callbacks->GetModuleFunctionTable(module, &table, &size), 1);
  ASSERT_GT(size, id);
  *table[id] = reinterpret_cast<NvtxFunctionPointer>(function);
}

int NVTX_API attach(NvtxGetExportTableFunc_t get_table) {
  const auto* const callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  put(callbacks, NVTX_CB_MODULE_CORE2, NVTX_CBID_CORE2_DomainCreateA, &create_domain);
  put(callbacks, NVTX_CB_MODULE_CORE2, NVTX_CBID_CORE2_DomainRangePushEx, &push);
  put(callbacks, NVTX_CB_MODULE_CORE2, NVTX_CBID_CORE2_DomainRangePop, &pop);
  put(callbacks, NVTX_CB_MODULE_CUDART, NVTX_CBID_CUDART_NameCudaStreamA, &name_stream);
  return 1;
}

}  // namespace

extern "C" {
// NOLINTNEXTLINE(readability-identifier-naming): the name that NVTX looks for
NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr = &attach;
}

namespace ep::cuda {
namespace {

TEST(Nvtx, ProfilersLearnTheNamesOfStepsAndStreams) {
  name_stream(nullptr, "comm");
  begin_range("dispatch[2]");
  end_range();
  EXPECT_THAT(heard(), testing::ElementsAre("stream comm", "domain epbench", "begin dispatch[2]", "end"));
}

}  // namespace
}  // namespace ep::cuda

#include "cuda/nvtx.hpp"

#include <nvtx3/nvToolsExtCudaRt.h>

namespace ep::cuda {

namespace {

nvtxDomainHandle_t domain() {
  static nvtxDomainRegistration* const kHandle = nvtxDomainCreateA("epbench");
  return kHandle;
}

}  // namespace

void begin_range(const std::string& name) {
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
  attributes.message.ascii = name.c_str();
  nvtxDomainRangePushEx(domain(), &attributes);
}

void end_range() noexcept {
  nvtxDomainRangePop(domain());
}

void name_stream(cudaStream_t stream, const char* name) {
  nvtxNameCudaStreamA(stream, name);
}

}  // namespace ep::cuda

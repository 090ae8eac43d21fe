// MPI_Wait and MPI_Test in their forms. A completed request's handle is gone afterwards, so it is kept before.
#include <vector>

#include <mpi.h>

#include "cuda_emulator/mpi/intercept.hpp"

using namespace ep::emulator;

namespace {

std::vector<MPI_Request> copies(int count, const MPI_Request requests[]) {
  return {requests, requests + count};
}

void finish_all(const std::vector<MPI_Request>& requests) {
  for (MPI_Request request : requests) finish(request);
}

void finish_some(const std::vector<MPI_Request>& requests, int count, const int indices[]) {
  if (count == MPI_UNDEFINED) return;
  for (int i = 0; i < count; ++i) finish(requests[static_cast<std::size_t>(indices[i])]);
}

}  // namespace

extern "C" {

int MPI_Wait(MPI_Request* request, MPI_Status* status) {
  MPI_Request before = *request;
  const HostInMpi waiting;
  const int error = PMPI_Wait(request, status);
  finish(before);
  return error;
}

int MPI_Waitall(int count, MPI_Request requests[], MPI_Status statuses[]) {
  const auto before = copies(count, requests);
  const HostInMpi waiting;
  const int error = PMPI_Waitall(count, requests, statuses);
  finish_all(before);
  return error;
}

int MPI_Waitany(int count, MPI_Request requests[], int* index, MPI_Status* status) {
  const auto before = copies(count, requests);
  const HostInMpi waiting;
  const int error = PMPI_Waitany(count, requests, index, status);
  if (*index != MPI_UNDEFINED) finish(before[static_cast<std::size_t>(*index)]);
  return error;
}

int MPI_Waitsome(int count, MPI_Request requests[], int* done, int indices[], MPI_Status statuses[]) {
  const auto before = copies(count, requests);
  const HostInMpi waiting;
  const int error = PMPI_Waitsome(count, requests, done, indices, statuses);
  finish_some(before, *done, indices);
  return error;
}

int MPI_Test(MPI_Request* request, int* flag, MPI_Status* status) {
  MPI_Request before = *request;
  host_polls();
  const int error = PMPI_Test(request, flag, status);
  if (*flag != 0) finish(before);
  return error;
}

int MPI_Testall(int count, MPI_Request requests[], int* flag, MPI_Status statuses[]) {
  const auto before = copies(count, requests);
  host_polls();
  const int error = PMPI_Testall(count, requests, flag, statuses);
  if (*flag != 0) finish_all(before);
  return error;
}

int MPI_Testany(int count, MPI_Request requests[], int* index, int* flag, MPI_Status* status) {
  const auto before = copies(count, requests);
  host_polls();
  const int error = PMPI_Testany(count, requests, index, flag, status);
  if (*flag != 0 && *index != MPI_UNDEFINED) finish(before[static_cast<std::size_t>(*index)]);
  return error;
}

int MPI_Testsome(int count, MPI_Request requests[], int* done, int indices[], MPI_Status statuses[]) {
  const auto before = copies(count, requests);
  host_polls();
  const int error = PMPI_Testsome(count, requests, done, indices, statuses);
  finish_some(before, *done, indices);
  return error;
}

}  // extern "C"

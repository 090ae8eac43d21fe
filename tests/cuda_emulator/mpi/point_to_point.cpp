#include <mpi.h>

#include "cuda_emulator/mpi/intercept.hpp"

using namespace ep::emulator;

namespace {

/// Tracks the buffer of a request that a call has just started.
int started(int error, const MpiBuffer& buffer, const MPI_Request* request, const char* call) {
  if (error == MPI_SUCCESS) track(*request, {buffer}, call);
  return error;
}

/// After a call that received into `buffer`.
int received(int error, const MpiBuffer& buffer, const char* call) {
  if (error == MPI_SUCCESS) check_buffers({buffer}, call);
  return error;
}

}  // namespace

extern "C" {

int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  const MpiBuffer buffer = mpi_buffer(data, count, type, Access::read);
  check_buffers({buffer}, "MPI_Isend");
  return started(PMPI_Isend(data, count, type, to, tag, comm, request), buffer, request, "MPI_Isend");
}

int MPI_Issend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  const MpiBuffer buffer = mpi_buffer(data, count, type, Access::read);
  check_buffers({buffer}, "MPI_Issend");
  return started(PMPI_Issend(data, count, type, to, tag, comm, request), buffer, request, "MPI_Issend");
}

int MPI_Irecv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request* request) {
  const MpiBuffer buffer = mpi_buffer(data, count, type, Access::write);
  check_buffers({buffer}, "MPI_Irecv");
  return started(PMPI_Irecv(data, count, type, from, tag, comm, request), buffer, request, "MPI_Irecv");
}

int MPI_Send(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  check_buffers({mpi_buffer(data, count, type, Access::read)}, "MPI_Send");
  const HostInMpi waiting;
  return PMPI_Send(data, count, type, to, tag, comm);
}

int MPI_Ssend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  check_buffers({mpi_buffer(data, count, type, Access::read)}, "MPI_Ssend");
  const HostInMpi waiting;
  return PMPI_Ssend(data, count, type, to, tag, comm);
}

int MPI_Recv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Status* status) {
  const MpiBuffer buffer = mpi_buffer(data, count, type, Access::write);
  check_buffers({buffer}, "MPI_Recv");
  const HostInMpi waiting;
  return received(PMPI_Recv(data, count, type, from, tag, comm, status), buffer, "MPI_Recv");
}

int MPI_Sendrecv(const void* send, int send_count, MPI_Datatype send_type, int to, int send_tag, void* receive,
                 int receive_count, MPI_Datatype receive_type, int from, int receive_tag, MPI_Comm comm,
                 MPI_Status* status) {
  const MpiBuffer buffer = mpi_buffer(receive, receive_count, receive_type, Access::write);
  check_buffers({mpi_buffer(send, send_count, send_type, Access::read), buffer}, "MPI_Sendrecv");
  const HostInMpi waiting;
  const int error = PMPI_Sendrecv(send, send_count, send_type, to, send_tag, receive, receive_count, receive_type, from,
                                  receive_tag, comm, status);
  return received(error, buffer, "MPI_Sendrecv");
}

int MPI_Probe(int from, int tag, MPI_Comm comm, MPI_Status* status) {
  const HostInMpi waiting;
  return PMPI_Probe(from, tag, comm, status);
}

int MPI_Iprobe(int from, int tag, MPI_Comm comm, int* flag, MPI_Status* status) {
  host_polls();
  return PMPI_Iprobe(from, tag, comm, flag, status);
}

}  // extern "C"

#include <mpi.h>

#include "cuda_emulator/mpi/intercept.hpp"

using namespace ep::emulator;

namespace {

int size_of(MPI_Comm comm) {
  int size = 0;
  PMPI_Comm_size(comm, &size);
  return size;
}

MpiBuffers alltoallv_buffers(const void* send, const int send_counts[], const int send_offsets[],
                             MPI_Datatype send_type, const void* receive, const int receive_counts[],
                             const int receive_offsets[], MPI_Datatype receive_type, MPI_Comm comm) {
  MpiBuffers buffers;
  append_per_peer(buffers, send, send_counts, send_offsets, send_type, comm, Access::read);
  append_per_peer(buffers, receive, receive_counts, receive_offsets, receive_type, comm, Access::write);
  return buffers;
}

/// Runs a blocking collective with its buffers checked before and after.
template <class Call>
int blocking(const MpiBuffers& buffers, const char* name, Call call) {
  check_buffers(buffers, name);
  const HostInMpi waiting;
  const int error = call();
  if (error == MPI_SUCCESS) check_buffers(buffers, name);
  return error;
}

/// Starts a non-blocking collective and follows its buffers until it completes.
template <class Call>
int nonblocking(MpiBuffers buffers, const char* name, const MPI_Request* request, Call call) {
  check_buffers(buffers, name);
  const int error = call();
  if (error == MPI_SUCCESS) track(*request, std::move(buffers), name);
  return error;
}

}  // namespace

extern "C" {

int MPI_Barrier(MPI_Comm comm) {
  const HostInMpi waiting;
  return PMPI_Barrier(comm);
}

int MPI_Bcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm) {
  return blocking({mpi_buffer(data, count, type, Access::write)}, "MPI_Bcast",
                  [&] { return PMPI_Bcast(data, count, type, root, comm); });
}

int MPI_Allreduce(const void* send, void* receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  return blocking({mpi_buffer(send, count, type, Access::read), mpi_buffer(receive, count, type, Access::write)},
                  "MPI_Allreduce", [&] { return PMPI_Allreduce(send, receive, count, type, op, comm); });
}

int MPI_Reduce(const void* send, void* receive, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm) {
  return blocking({mpi_buffer(send, count, type, Access::read)}, "MPI_Reduce",
                  [&] { return PMPI_Reduce(send, receive, count, type, op, root, comm); });
}

int MPI_Allgather(const void* send, int send_count, MPI_Datatype send_type, void* receive, int receive_count,
                  MPI_Datatype receive_type, MPI_Comm comm) {
  return blocking({mpi_buffer(send, send_count, send_type, Access::read),
                   mpi_buffer(receive, receive_count * size_of(comm), receive_type, Access::write)},
                  "MPI_Allgather", [&] {
                    return PMPI_Allgather(send, send_count, send_type, receive, receive_count, receive_type, comm);
                  });
}

int MPI_Allgatherv(const void* send, int send_count, MPI_Datatype send_type, void* receive, const int counts[],
                   const int offsets[], MPI_Datatype receive_type, MPI_Comm comm) {
  MpiBuffers buffers{mpi_buffer(send, send_count, send_type, Access::read)};
  append_per_peer(buffers, receive, counts, offsets, receive_type, comm, Access::write);
  return blocking(buffers, "MPI_Allgatherv", [&] {
    return PMPI_Allgatherv(send, send_count, send_type, receive, counts, offsets, receive_type, comm);
  });
}

int MPI_Gather(const void* send, int send_count, MPI_Datatype send_type, void* receive, int receive_count,
               MPI_Datatype receive_type, int root, MPI_Comm comm) {
  return blocking({mpi_buffer(send, send_count, send_type, Access::read)}, "MPI_Gather", [&] {
    return PMPI_Gather(send, send_count, send_type, receive, receive_count, receive_type, root, comm);
  });
}

int MPI_Alltoall(const void* send, int send_count, MPI_Datatype send_type, void* receive, int receive_count,
                 MPI_Datatype receive_type, MPI_Comm comm) {
  return blocking({mpi_buffer(send, send_count * size_of(comm), send_type, Access::read),
                   mpi_buffer(receive, receive_count * size_of(comm), receive_type, Access::write)},
                  "MPI_Alltoall", [&] {
                    return PMPI_Alltoall(send, send_count, send_type, receive, receive_count, receive_type, comm);
                  });
}

int MPI_Ialltoall(const void* send, int send_count, MPI_Datatype send_type, void* receive, int receive_count,
                  MPI_Datatype receive_type, MPI_Comm comm, MPI_Request* request) {
  return nonblocking(
      {mpi_buffer(send, send_count * size_of(comm), send_type, Access::read),
       mpi_buffer(receive, receive_count * size_of(comm), receive_type, Access::write)},
      "MPI_Ialltoall", request,
      [&] { return PMPI_Ialltoall(send, send_count, send_type, receive, receive_count, receive_type, comm, request); });
}

int MPI_Alltoallv(const void* send, const int send_counts[], const int send_offsets[], MPI_Datatype send_type,
                  void* receive, const int receive_counts[], const int receive_offsets[], MPI_Datatype receive_type,
                  MPI_Comm comm) {
  return blocking(alltoallv_buffers(send, send_counts, send_offsets, send_type, receive, receive_counts,
                                    receive_offsets, receive_type, comm),
                  "MPI_Alltoallv", [&] {
                    return PMPI_Alltoallv(send, send_counts, send_offsets, send_type, receive, receive_counts,
                                          receive_offsets, receive_type, comm);
                  });
}

int MPI_Ialltoallv(const void* send, const int send_counts[], const int send_offsets[], MPI_Datatype send_type,
                   void* receive, const int receive_counts[], const int receive_offsets[], MPI_Datatype receive_type,
                   MPI_Comm comm, MPI_Request* request) {
  return nonblocking(alltoallv_buffers(send, send_counts, send_offsets, send_type, receive, receive_counts,
                                       receive_offsets, receive_type, comm),
                     "MPI_Ialltoallv", request, [&] {
                       return PMPI_Ialltoallv(send, send_counts, send_offsets, send_type, receive, receive_counts,
                                              receive_offsets, receive_type, comm, request);
                     });
}

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm* duplicate) {
  const HostInMpi waiting;
  return PMPI_Comm_dup(comm, duplicate);
}

int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm* part) {
  const HostInMpi waiting;
  return PMPI_Comm_split(comm, color, key, part);
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm* part) {
  const HostInMpi waiting;
  return PMPI_Comm_split_type(comm, type, key, info, part);
}

}  // extern "C"

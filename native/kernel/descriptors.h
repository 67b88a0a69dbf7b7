#pragma once

#include <cstddef>

#include "result.h"
#include "unique_fd.h"

namespace kernel {

struct DescriptorPair {
  UniqueFd ours;
  UniqueFd theirs;
};

// A duplex AF_UNIX stream, both ends close-on-exec and blocking. socketpair(2).
Result<DescriptorPair> SocketPair() noexcept;

// `ours` reads and `theirs` writes, or the other way round. pipe2(2).
Result<DescriptorPair> Pipe(bool we_read) noexcept;

// An empty file in memory, close-on-exec, that can be sealed and, where the kernel knows how (Linux 6.3), never executed:
// hosts may ask for that (vm.memfd_noexec). memfd_create(2).
Result<UniqueFd> MemoryFile(const char* name) noexcept;

// Puts sources[i] at descriptor i for every i and closes all others. Scope: the calling
// process; for a child between clone and execve. Async-signal-safe. dup3(2), close_range(2).
Status ArrangeDescriptors(int* sources, size_t count) noexcept;

// Sends `length` bytes with one descriptor attached to the first of them.
// The receiver gets a duplicate; ours stays open. unix(7), SCM_RIGHTS.
Result<size_t> SendDescriptor(int socket, int fd, const void* bytes, size_t length) noexcept;

// Waits for a message of at most `length` bytes, and how long it is; 0: the other side has ended.
// `fd` becomes the descriptor attached to it, close-on-exec; where there is none it stays as it is.
Result<size_t> ReceiveDescriptor(int socket, void* bytes, size_t length, UniqueFd* fd) noexcept;

}  // namespace kernel

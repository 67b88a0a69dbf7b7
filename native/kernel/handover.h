#pragma once

#include <cstddef>
#include <cstdint>

#include "result.h"
#include "unique_fd.h"

namespace kernel {

// A secret on its way to the program that this process becomes: a descriptor without a
// name in any file system, of memfd_secret(2) pages where the kernel has them, else of a
// sealed memfd_create(2). Its size is fixed. Close-on-exec: whoever passes it on takes that off.
Result<UniqueFd> MakeHandover(const uint8_t* bytes, size_t length) noexcept;

// How many bytes wait in it. EBADF when it is closed, EINVAL for any descriptor that
// MakeHandover() did not make: what another one means must not be touched.
Result<size_t> HandoverSize(int fd) noexcept;

// Copies all of it to `bytes`, overwrites it for whoever else may hold it, and closes the
// descriptor in every case but EINVAL. `length` is what HandoverSize() said.
Status TakeHandover(int fd, uint8_t* bytes, size_t length) noexcept;

}  // namespace kernel

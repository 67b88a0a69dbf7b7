#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>

#include "unique_fd.h"

namespace kernel {

// The start of a file, as a string in `text`. False when it is empty or cannot be read. For files of
// /proc, which the kernel makes in one piece. Async-signal-safe.
template <size_t kRoom>
bool ReadSmallFile(const char* path, char (&text)[kRoom]) noexcept {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  const ssize_t length = file ? read(file.get(), text, kRoom - 1) : -1;
  if (length <= 0) return false;
  text[length] = '\0';
  return true;
}

}  // namespace kernel

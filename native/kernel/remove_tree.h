#pragma once

#include <cstdint>

namespace kernel {

struct Emptied {
  bool empty = false;   // nothing is left in the folder
  bool late = false;    // the time was up first
  int64_t removed = 0;  // entries
};

// Removes everything in an open folder, whatever made it: follows no symbolic link, crosses into no
// mount, opens nothing but folders, and needs two descriptors and one stack frame however deep the
// tree is. What lies below the first level is first moved there: no path grows, and nothing is
// climbed back through `..`, which somebody could have moved meanwhile. Gives itself the right to
// read and write each folder (a task may make one without), never a file, which may have other names.
// The folder itself stays. unlinkat(2), renameat(2).
Emptied EmptyFolder(int folder, int timeout_ms) noexcept;

}  // namespace kernel

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace kernel {

// What a task holds on disk by way of its scratch folder. Kept between two looks by whoever measures.
struct DiskUsage {
  uint64_t bytes = 0;
  int64_t files = 0;  // files, folders, links and whatever else has a name there, or had one
  // Sizes of files as last seen, by inode: one whose name is gone can live on in a mapping alone.
  std::unordered_map<uint64_t, uint64_t> seen;
  uint64_t used_last = 0;              // of the file system, as last measured
  uint64_t used_before = UINT64_MAX;  // of the file system, at its least
};

// What all files of the file system that this folder is on take.
uint64_t UsedBytesOf(int folder) noexcept;

// Looks at the whole folder, and at files without a name that the processes have open, mapped or on the way to
// each other. Where it cannot be told how large such a file is, because nobody saw it while it had a name or a
// process may not be looked into, all counts by which the file system has grown since the first look. Follows
// no symbolic link. Stops counting files past `most_files`. statx(2), proc_pid_fd(5), proc_pid_maps(5).
void MeasureDisk(int folder, const std::string& path, const std::vector<pid_t>& processes, int64_t most_files, DiskUsage* usage);

}  // namespace kernel

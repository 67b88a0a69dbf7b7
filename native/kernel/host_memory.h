#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace kernel {

// What the whole host has taken of two kinds of memory that no process's RssAnon shows.
struct HostMemory {
  uint64_t kernel_bytes = 0;  // slab, stacks and buffers of the kernel's; without page tables and caches
  uint64_t shared_bytes = 0;  // tmpfs and shared mappings, mapped at the moment or not
};

// All zero where it cannot be told. proc_meminfo(5).
HostMemory ReadHostMemory() noexcept;

// The most that the kernel can hold for these processes in things that are counted nowhere: mappings,
// and what sockets have in their buffers. Reads a line for each of them, so only when there is a reason,
// and stops at `enough`.
uint64_t MostHeldByKernel(const std::vector<pid_t>& pids, uint64_t enough);

// Descriptors that these processes have sent through sockets and nobody has received. unix(7).
uint64_t DescriptorsOnTheirWay(const std::vector<pid_t>& pids);

}  // namespace kernel
